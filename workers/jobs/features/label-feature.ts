/** One feature: ask for a label, then test it on texts that were not shown. */
import { createHash } from "node:crypto";
import type { FeatureDetailsLine } from "../../../domain/feature.ts";
import { type DetectionCounts, type DetectionScore, detectionScore } from "../../../engine/features/detection-score.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { ChatEndpoint, ChatMessage } from "../../chat-endpoint.ts";
import { plainText, splitExamples } from "./label-examples.ts";
import { type LabelPrompts, readExplanation, readMatches } from "./label-prompts.ts";
import type { SilentTexts } from "./label-silence.ts";

/** Texts of one question: with more, models lose count. */
const TEXTS_ASKED = 10;
const TRIES = 3;

export interface LabelledFeature {
  readonly index: number;
  readonly label: string;
  readonly explanation: string;
  /** null: not tested, or without texts of one kind. */
  readonly detection: (DetectionScore & DetectionCounts) | null;
}

export interface LabelTask {
  readonly details: FeatureDetailsLine;
  readonly settings: { readonly examples: number; readonly test_examples: number; readonly seed: number };
  readonly silence: SilentTexts | null;
  readonly prompts: LabelPrompts;
}

/** Everything that is asked about one feature, apart from the label that is yet to be found. */
export interface FeatureQuestions {
  readonly index: number;
  readonly explain: readonly ChatMessage[];
  readonly tests: readonly { readonly text: string; readonly isActive: boolean }[];
}

/** null: the feature has no example to go by. */
export function questionsOf({ details, settings, silence, prompts }: LabelTask): FeatureQuestions | null {
  const { shown, held } = splitExamples(details, { shown: settings.examples, held: settings.test_examples });
  if (shown.length === 0) return null;
  const random = createRandom(settings.seed).fork(`label ${details.index}`);
  const lengths = held.map(({ tokens }) => tokens.length);
  const silent = silence?.of(details.index, lengths, settings.test_examples, random) ?? [];
  // Texts of one kind alone would measure nothing.
  if (held.length === 0 || silent.length === 0)
    return { index: details.index, explain: prompts.explain(details, shown), tests: [] };
  const tests = [
    ...held.map((example) => ({ text: plainText(example), isActive: true })),
    ...silent.map((text) => ({ text, isActive: false })),
  ];
  return { index: details.index, explain: prompts.explain(details, shown), tests: random.shuffle(tests) };
}

/** Names everything that decides the answer, for the cache. */
export function keyOf(questions: FeatureQuestions, prompts: LabelPrompts, asked: object): string {
  const frame = prompts.detect("", [""]);
  const content = JSON.stringify([1, asked, questions, frame, prompts.reminder, TEXTS_ASKED]);
  return `label ${createHash("sha256").update(content).digest("hex")}`;
}

/** null: the endpoint's answers could not be read, even after reminders. @throws as ChatEndpoint.ask */
export async function labelFeature(
  questions: FeatureQuestions,
  prompts: LabelPrompts,
  endpoint: ChatEndpoint,
  signal: AbortSignal,
): Promise<LabelledFeature | null> {
  const ask = <T>(messages: readonly ChatMessage[], read: (answer: string) => T | null) =>
    askUntilRead(endpoint, messages, prompts.reminder, read, signal);
  const found = await ask(questions.explain, readExplanation);
  if (found === null) return null;
  const counts = { found: 0, active: 0, passed: 0, silent: 0 };
  for (let first = 0; first < questions.tests.length; first += TEXTS_ASKED) {
    const part = questions.tests.slice(first, first + TEXTS_ASKED);
    const texts = part.map(({ text }) => text);
    const matches = await ask(prompts.detect(found.label, texts), (answer) => readMatches(answer, texts.length));
    if (matches === null) return null;
    for (const [i, { isActive }] of part.entries()) {
      counts[isActive ? "active" : "silent"] += 1;
      if (isActive && matches[i]) counts.found += 1;
      if (!isActive && !matches[i]) counts.passed += 1;
    }
  }
  const score = detectionScore(counts);
  return { index: questions.index, ...found, detection: score && { ...score, ...counts } };
}

async function askUntilRead<T>(
  endpoint: ChatEndpoint,
  messages: readonly ChatMessage[],
  reminder: ChatMessage,
  read: (answer: string) => T | null,
  signal: AbortSignal,
): Promise<T | null> {
  let asked = messages;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const answer = await endpoint.ask(asked, signal);
    const value = read(answer);
    if (value !== null) return value;
    asked = [...messages, { role: "assistant", content: answer.slice(0, 4000) }, reminder];
  }
  return null;
}
