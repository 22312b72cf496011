import "./segments.css";

interface SegmentsProps<T extends string> {
  readonly legend: string;
  /** Read out only, where the place says it already. */
  readonly quiet?: boolean;
  readonly name: string;
  readonly options: Readonly<Record<T, string>>;
  readonly value: T;
  choose(value: T): void;
}

/** One of a few, all in sight: radio buttons that look like one control. */
export function Segments<T extends string>({ legend, quiet, name, options, value, choose }: SegmentsProps<T>) {
  return (
    <fieldset class="field">
      <legend class={quiet ? "visually-hidden" : ""}>{legend}</legend>
      <div class="segments">
        {(Object.entries(options) as [T, string][]).map(([option, words]) => (
          <label key={option} class="segment">
            <input type="radio" name={name} checked={option === value} onChange={() => choose(option)} />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
