// A text whose tokens are shaded by a feature's activation; the number is told on hover and read out as a summary.
import { shadeOf, strongestTokens, type ValuedToken, visible } from "./shade.ts";
import "./tokens.css";

interface ColouredTextProps {
  readonly tokens: readonly ValuedToken[];
  /** What the deepest shade stands for; the text's own largest if absent. */
  readonly largest?: number | undefined;
  /** Index of a token to mark. */
  readonly peak?: number | undefined;
  readonly label: string;
}

export function ColouredText({ tokens, largest, peak, label }: ColouredTextProps) {
  const top = largest ?? tokens.reduce((most, { value }) => Math.max(most, value), 0);
  return (
    <div class="coloured-text" dir="auto">
      <span class="visually-hidden">{`${label}; strongest: ${strongestTokens(tokens)}. `}</span>
      {tokens.map(({ text, value }, i) => {
        const classes = `token shade-${shadeOf(value, top)}${i === peak ? " token-peak" : ""}`;
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: tokens have no identity but their place
          <span key={i} class={classes} title={`${visible(text)}  ${value > 0 ? value.toPrecision(3) : 0}`}>
            {text}
          </span>
        );
      })}
    </div>
  );
}
