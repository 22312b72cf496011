// Which saes must read which texts so that the chosen features can be shown on them; and their values out of the answers.
import type { EncodedText } from "../../domain/sae.ts";
import { splitReference } from "../features/feature-reference.ts";
import type { ValuedToken } from "../tokens/shade.ts";
import type { Arm } from "./arms.ts";
import type { SteerForm } from "./steer-form.ts";

export interface ReadText {
  readonly title: string;
  readonly text: string;
}

const titles = { baseline: "Unsteered", steered: "Steered", control: "Random feature" } as const;

/** The arms' texts after their prompt as one; of a chat the prompt by itself, for its template stands between them. */
export function textsToRead(form: SteerForm, arms: readonly Arm[]): ReadText[] {
  const answers = arms.map(({ role, text }) => ({
    title: role === null ? "Answer" : titles[role],
    text: form.mode === "raw" ? form.prompt + text : text,
  }));
  const prompt = form.mode === "chat" ? [{ title: "Prompt", text: form.prompt }] : [];
  return [...prompt, ...answers].filter(({ text }) => text !== "");
}

/** Every feature that an edit or a gate names, once. */
export function chosenFeatures(form: SteerForm): string[] {
  const named = form.edits.flatMap(({ feature, gate }) => [feature.trim(), gate.trim()]);
  return [...new Set(named)].filter((reference) => splitReference(reference) !== null);
}

export function valuesOf(encoded: EncodedText, index: number): ValuedToken[] {
  return encoded.tokens.map(({ text }, at) => ({
    text,
    value: encoded.features[at]?.find((feature) => feature.index === index)?.value ?? 0,
  }));
}

export function largestOf(texts: readonly (readonly ValuedToken[])[]): number {
  return texts.flat().reduce((most, { value }) => Math.max(most, value), 0);
}
