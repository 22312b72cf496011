// The shape of one language's templates. Slots are `{name}`; `[m|f]` agrees with the subject's gender and `<m|f|n>` with
// the noun's, in that language.

import type { Language, Register } from "../record.ts";

/** Which templates each register has; the same names exist in every language and mean the same. */
export const SENTENCES = {
  neutral: ["happened", "habit", "quality", "wish", "because", "manner"],
  formal: ["reported", "noted", "rule", "advice", "decided"],
  casual: ["guess", "honestly", "again", "wow", "opinion"],
  literary: ["scene", "simile", "unseen", "ending"],
} as const satisfies Record<Register, readonly string[]>;

export type SentenceName = (typeof SENTENCES)[Register][number];

export const TOXIC = ["toxicSilence", "toxicNobody", "toxicChild", "toxicNoun", "toxicDid"] as const;
export const POLITE = ["politeThanks", "politeRespect", "politeBeginner", "politeNoun", "politeDid"] as const;
export type RemarkName = (typeof TOXIC)[number] | (typeof POLITE)[number];

/** How a language names the others in `{language}` of its turns: a noun or an adverb, as the sentence needs it. */
export type LanguageNames = Readonly<Record<Language, string>>;

export type TurnName =
  | "askQuality"
  | "askHow"
  | "tellHow"
  | "askDid"
  | "askOpinion"
  | "askSum"
  | "tellSum"
  | "sayIn"
  | "answerIn";

export interface ProblemTexts {
  /** `{owner}` nominative, `{ownerOf}` as in "belongs to", `{a}` counted items, `{items}` the bare plural. */
  readonly has: string;
  readonly buys: string;
  readonly gives: string;
  readonly boxes: string;
  readonly takes: string;
  readonly howMany: string;
  readonly howManyLeft: string;
  readonly question: string;
  readonly answer: string;
}

export interface TemplateSet {
  readonly pronoun: { readonly m: string; readonly f: string };
  /** Between sentences of one text. */
  readonly gap: string;
  readonly sentences: Readonly<Record<SentenceName, string>>;
  readonly remarks: Readonly<Record<RemarkName, string>>;
  readonly turns: Readonly<Record<TurnName, string>>;
  /** What the user says and what the assistant answers. */
  readonly smalltalk: readonly (readonly [string, string])[];
  readonly system: string;
  readonly languages: LanguageNames;
  readonly problem: ProblemTexts;
}
