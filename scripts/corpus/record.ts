// What the corpus is made of: one record per document, with every factor that generated it kept as a label.

export const LANGUAGES = ["en", "zh", "es", "ru", "ar"] as const;
export type Language = (typeof LANGUAGES)[number];

export const TOPICS = [
  "animals",
  "weather",
  "food",
  "school",
  "travel",
  "cooking",
  "sport",
  "music",
  "health",
  "work",
  "home",
  "garden",
] as const;
export type Topic = (typeof TOPICS)[number];

export const REGISTERS = ["neutral", "formal", "casual", "literary"] as const;
export type Register = (typeof REGISTERS)[number];

export type Kind = "prose" | "chat" | "remark" | "arithmetic" | "word_problem" | "code";
export type Difficulty = "easy" | "hard";
export type Split = "train" | "heldout";

export interface CorpusRecord {
  readonly text: string;
  /** `und` where the text has no natural language (bare arithmetic, code). */
  readonly language: Language | "und";
  readonly topic: Topic | "mathematics" | "programming" | "smalltalk";
  readonly register: Register | null;
  readonly kind: Kind;
  readonly toxicity: "none" | "polite" | "toxic";
  readonly difficulty: Difficulty | null;
  /** The language that the assistant was asked to answer in, where it is not that of the question. */
  readonly answerLanguage: Language | null;
  /** Where in `text` (UTF-16 offset) the writing drifts into Chinese. */
  readonly drift: { readonly at: number; readonly into: "zh" } | null;
  /** Where in `text` a loop of repeated words begins. */
  readonly repetition: { readonly at: number; readonly times: number } | null;
  readonly split: Split;
}

export const UNLABELLED = {
  register: null,
  toxicity: "none",
  difficulty: null,
  answerLanguage: null,
  drift: null,
  repetition: null,
} as const;

/**
 * The split of one set of template fillings: about one in twenty is held out. It depends on the fillings alone, not on
 * the language, so that a sentence and its translations are always on the same side.
 */
export function splitOf(fillings: string): Split {
  let hash = 0x811c9dc5;
  for (let i = 0; i < fillings.length; i++) hash = Math.imul(hash ^ fillings.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0 < 2 ** 32 / 20 ? "heldout" : "train";
}
