import type { FeatureMention } from "../../domain/benchmark-analysis.ts";
import { FeatureLink } from "./feature-link.tsx";

interface Props {
  readonly mentions: readonly FeatureMention[];
  /** The samples are given for the second benchmark first. */
  readonly turned: boolean;
  readonly names: readonly [string, string];
}

export function FeatureMentions({ mentions, turned, names }: Props) {
  if (mentions.length === 0) return <p class="small soft">None beyond those common in any text.</p>;
  return (
    <ul class="mentions">
      {mentions.map(({ feature, label, samples }) => {
        const [first = 0, second = 0] = turned ? samples.toReversed() : samples;
        return (
          <li key={feature}>
            <FeatureLink feature={feature} label={label} />
            <span class="small soft" title={`samples of ${names[0]} and of ${names[1]}`}>
              {first} and {second} samples
            </span>
          </li>
        );
      })}
    </ul>
  );
}
