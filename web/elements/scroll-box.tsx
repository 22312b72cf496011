import type { ComponentChildren } from "preact";

interface Props {
  readonly label: string;
  readonly class?: string;
  readonly children: ComponentChildren;
}

/** Something wide or long that scrolls in its own box, also by keyboard; the page itself never scrolls sideways. */
export function ScrollBox({ label, class: name = "table-box", children }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable without a mouse.
    <section class={name} aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
