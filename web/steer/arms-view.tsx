import type { ExperimentRole } from "../../domain/completion.ts";
import type { Arm } from "./arms.ts";
import { reportSentences } from "./report-words.ts";
import type { SteerForm } from "./steer-form.ts";
import type { Experiment } from "./use-experiment.ts";

const titles: Readonly<Record<ExperimentRole, string>> = {
  baseline: "Unsteered",
  steered: "Steered",
  control: "Random feature",
};

interface ArmsViewProps {
  readonly experiment: Experiment;
  readonly example: SteerForm | null;
  onExample(form: SteerForm): void;
}

export function ArmsView({ experiment, example, onExample }: ArmsViewProps) {
  const { arms, form, running } = experiment;
  if (form === null || (arms.length === 0 && !running)) {
    return (
      <section class="panel steer-empty">
        <h2>Side by side</h2>
        <p class="soft">
          Every run also writes the text without steering, with the same seed, so that you see the difference and not
          the dice.
        </p>
        {example && (
          <button type="button" class="button" onClick={() => onExample(example)}>
            Try it: English into Chinese
          </button>
        )}
      </section>
    );
  }
  const names = form.edits.filter(({ feature }) => feature.trim() !== "").map(({ feature }) => feature.trim());
  return (
    <section class={`panel arms arms-${arms.length}`} aria-label="Texts" aria-busy={running}>
      {arms.map((arm) => (
        <ArmText key={arm.role ?? "text"} arm={arm} form={form} running={running} names={names} />
      ))}
    </section>
  );
}

interface ArmTextProps {
  readonly arm: Arm;
  readonly form: SteerForm;
  readonly running: boolean;
  readonly names: readonly string[];
}

function ArmText({ arm, form, running, names }: ArmTextProps) {
  const title = arm.role === null ? "Answer" : titles[arm.role];
  const writing = running && arm.finishReason === null;
  const control = arm.role === "control" ? names.map(() => "A random feature") : names;
  return (
    <article class={`arm arm-${arm.role ?? "plain"}`}>
      <h2>{title}</h2>
      <p class="arm-text" dir="auto">
        {form.mode === "raw" && <span class="arm-prompt">{form.prompt}</span>}
        <span class="arm-answer" data-role={arm.role ?? "answer"}>
          {arm.text}
        </span>
        {writing && <span class="caret" aria-hidden="true" />}
      </p>
      {arm.finishReason === "length" && <p class="field-hint">Cut at the number of new tokens.</p>}
      {arm.report && arm.role !== "baseline" && (
        <ul class="arm-report">
          {reportSentences(arm.report, control).map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      )}
      {arm.report && arm.role === "steered" && <Fingerprint report={arm.report} />}
    </article>
  );
}

function Fingerprint({ report }: { readonly report: NonNullable<Arm["report"]> }) {
  const promise =
    report.determinism === "exact"
      ? "the same fingerprint gives the same text"
      : "on this accelerator the same fingerprint gives the same text as a rule, not always";
  return (
    <details class="small">
      <summary>Fingerprint</summary>
      <code>{report.fingerprint}</code>
      <p class="field-hint">{`Of model, saes, edits, seed, sampling and runtime: ${promise}.`}</p>
    </details>
  );
}
