// Which cell of a sweep is best, and whether it really does what was wanted.

import { bootstrapMean, type Draws, type EstimatedMean } from "./paired-bootstrap.ts";

/** What was measured of one text. */
export interface TextScores {
  /** Of the goal, in [0, 1]; null where the text cannot show it, which counts as the worst score. */
  readonly goal: number | null;
  /** Σ −log p of its tokens under the unsteered model. */
  readonly nats: number;
  readonly tokens: number;
  readonly distinct1: number;
  readonly distinct2: number;
  readonly longestRepetition: number;
}

export interface ArmSummary {
  readonly prompts: number;
  readonly goal: EstimatedMean;
  /** Over the baseline's texts of the same prompts, more is better; null for the baseline itself. */
  readonly effect: EstimatedMean | null;
  readonly perplexity: number;
  readonly perplexityRatio: number;
  readonly distinct1: number;
  readonly distinct2: number;
  readonly longestRepetition: number;
  readonly tokens: number;
  readonly fluent: boolean;
}

export interface FluencyLimits {
  readonly perplexityRatio: number;
  readonly distinctRatio: number;
  readonly lengthRatio: number;
}

/** +1: a higher score is better. */
type Sign = 1 | -1;

/** The score that the goal counts a text with. */
export function goalScore({ goal }: TextScores, sign: Sign): number {
  return goal ?? (sign === 1 ? 0 : 1);
}

/** The i-th texts of both arms go on from the same prompt. @throws RangeError for arms of different lengths */
export function pairedDifferences(ours: readonly TextScores[], theirs: readonly TextScores[], sign: Sign): number[] {
  if (ours.length !== theirs.length)
    throw new RangeError(`${ours.length} texts cannot be paired with ${theirs.length}`);
  return ours.map((text, i) => sign * (goalScore(text, sign) - goalScore(theirs[i]!, sign)));
}

/** `baseline`: the texts of the same prompts without steering; null where the texts are those. */
export function summarizeArm(
  texts: readonly TextScores[],
  baseline: readonly TextScores[] | null,
  sign: Sign,
  limits: FluencyLimits,
  draws: Draws,
): ArmSummary {
  const scores = texts.map((text) => goalScore(text, sign));
  const own = sideEffects(texts);
  const usual = sideEffects(baseline ?? texts);
  return {
    prompts: texts.length,
    goal: bootstrapMean(scores, draws),
    effect: baseline ? bootstrapMean(pairedDifferences(texts, baseline, sign), draws) : null,
    ...own,
    perplexityRatio: own.perplexity / usual.perplexity,
    fluent: sufferings(own, usual, limits).length === 0,
  };
}

type SideEffects = ReturnType<typeof sideEffects>;

/** Perplexity is exp of the mean over all tokens of the texts: short texts count less. */
function sideEffects(texts: readonly TextScores[]) {
  const mean = (value: (text: TextScores) => number) =>
    texts.reduce((sum, text) => sum + value(text), 0) / Math.max(texts.length, 1);
  const tokens = mean((text) => text.tokens);
  return {
    perplexity: Math.exp(tokens === 0 ? 0 : mean((text) => text.nats) / tokens),
    distinct1: mean((text) => text.distinct1),
    distinct2: mean((text) => text.distinct2),
    longestRepetition: mean((text) => text.longestRepetition),
    tokens,
  };
}

/** In which ways texts are worse than usual beyond the limits, in words; empty: they are fluent. */
export function sufferings(
  own: Pick<SideEffects, "perplexity" | "distinct2" | "tokens">,
  usual: Pick<SideEffects, "perplexity" | "distinct2" | "tokens">,
  limits: FluencyLimits,
): string[] {
  const found: string[] = [];
  const ratio = own.perplexity / usual.perplexity;
  if (!(ratio <= limits.perplexityRatio)) {
    found.push(`its texts' perplexity is ${shown(ratio)} times the baseline's, above ${limits.perplexityRatio}`);
  }
  const distinct = own.distinct2 / usual.distinct2;
  if (distinct < limits.distinctRatio) {
    found.push(
      `its texts repeat themselves: distinct-2 is ${shown(distinct)} of the baseline's, below ${limits.distinctRatio}`,
    );
  }
  if (own.tokens < limits.lengthRatio * usual.tokens) {
    found.push(
      `its texts have ${shown(own.tokens)} tokens, the baseline's ${shown(usual.tokens)}: below ${limits.lengthRatio} of them`,
    );
  }
  return found;
}

/**
 * The cells of the strongest effects among those that are fluent and better than the baseline, strongest first; of equals the first, so
 * the weaker of two strengths where strengths ascend.
 */
export function finalists(cells: readonly (ArmSummary | null)[], count: number): number[] {
  const effect = (index: number) => cells[index]!.effect!.mean;
  return [...cells.keys()]
    .filter((index) => cells[index]?.fluent && effect(index) > 0)
    .sort((a, b) => effect(b) - effect(a) || a - b)
    .slice(0, count);
}

export interface JudgedControl {
  /** As a reader may call it: "the baseline". */
  readonly name: string;
  /** Of the best over this control, paired by prompt. */
  readonly lead: EstimatedMean;
}

export interface Judgement {
  readonly works: boolean;
  readonly summary: string;
  readonly reasons: readonly string[];
}

export function isBeaten({ lead }: Pick<JudgedControl, "lead">): boolean {
  return lead.interval !== null && lead.interval.low > 0;
}

/**
 * It works only if it beats every control, each with an interval above 0, on enough prompts, and its texts have not suffered. To
 * demand all at once needs no correction for how many controls there are: more of them can only make it harder to pass
 * (intersection-union test, Berger 1982).
 */
export function judge(
  {
    name,
    prompts,
    suffered,
  }: { readonly name: string; readonly prompts: number; readonly suffered: readonly string[] },
  controls: readonly JudgedControl[],
  fewestPrompts: number,
): Judgement {
  const reasons: string[] = [];
  if (prompts < fewestPrompts) {
    reasons.push(`it was judged on ${prompts} prompts; a verdict needs ${fewestPrompts} at least`);
  }
  for (const control of controls) {
    if (isBeaten(control)) continue;
    const { mean, interval } = control.lead;
    const range = interval ? `, 95 % interval ${shown(interval.low)} to ${shown(interval.high)}` : "";
    reasons.push(`it does not surely beat ${control.name}: its lead is ${shown(mean)}${range}`);
  }
  reasons.push(...suffered);
  const works = reasons.length === 0;
  const weakest = controls.reduce<JudgedControl | null>(
    (least, one) => (least === null || one.lead.mean < least.lead.mean ? one : least),
    null,
  );
  const margin = weakest ? `, by ${shown(weakest.lead.mean)} at least (${weakest.name})` : "";
  const summary = works
    ? `${name} works: over ${prompts} prompts it beats every one of ${controls.length} controls${margin}, and the texts stay fluent.`
    : `${name} is not shown to work: ${reasons[0]}${reasons.length > 1 ? `, and ${reasons.length - 1} more` : ""}.`;
  return { works, summary, reasons };
}

function shown(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
