// A steering report as sentences: what was touched, how hard, and whether the feature was at home there.
import type { SteeringReport } from "../../domain/steering.ts";

type EditReport = SteeringReport["edits"][number];

export function reportSentences(report: SteeringReport, features: readonly string[]): string[] {
  const several = report.edits.length > 1;
  return report.edits.map((edit) => {
    const name = features[edit.edit] ?? "the direction";
    const subject = several ? `Edit ${edit.edit + 1} (${name}, layer ${edit.layer})` : `${name} at layer ${edit.layer}`;
    return [`${subject} ${touched(edit)}`, gate(edit), home(edit)].filter((sentence) => sentence !== "").join(" ");
  });
}

function touched(edit: EditReport): string {
  const { prompt_tokens: prompt, generated_tokens: generated, mean_relative_change: change } = edit;
  if (prompt + generated === 0) return "touched no token.";
  const parts = [
    prompt > 0 ? counted(prompt, "prompt token") : "",
    generated > 0 ? counted(generated, "generated token") : "",
  ];
  const where = parts.filter((part) => part !== "").join(" and ");
  return `changed ${where} by ${percent(change)} of the residual stream's length on average.`;
}

function gate({ gate_open_tokens: open }: EditReport): string {
  if (open === null) return "";
  return open === 0 ? "Its gate never opened." : `Its gate opened on ${counted(open, "token")}.`;
}

function home({ in_top_k_tokens: inTop, prompt_tokens, generated_tokens }: EditReport): string {
  const total = prompt_tokens + generated_tokens;
  if (inTop === null || total === 0) return "";
  if (inTop === 0) return "On none of them was the feature active by itself.";
  return inTop >= total ? "It was active there by itself already." : `On ${inTop} it was active by itself.`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function percent(share: number): string {
  const value = share * 100;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toPrecision(2)} %`;
}
