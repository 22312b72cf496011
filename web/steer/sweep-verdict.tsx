import type { SteeringSweepResult, SweepArm, SweepArmName } from "../../domain/sweep.ts";
import type { Sae } from "../api/catalog.ts";
import { ArtifactButton } from "../elements/artifact-button.tsx";
import { formatFigure } from "../elements/format.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";

interface SweepVerdictViewProps {
  readonly result: SteeringSweepResult;
  /** Puts the best edit into the form; null where there is none that the form can show. */
  readonly use: (() => void) | null;
  readonly saes: readonly Sae[];
}

const armTitles: Readonly<Record<SweepArmName, string>> = {
  best: "Best strength",
  baseline: "No steering",
  random_feature: "Random feature",
  negative_strength: "Opposite sign",
  instruction: "Asked in words",
};

/** Reports name saes by id; people know them by name. */
function withNames(text: string, saes: readonly Sae[]): string {
  return saes.reduce((words, { id, name }) => words.replaceAll(id, name), text);
}

export function SweepVerdictView({ result, use, saes }: SweepVerdictViewProps) {
  const { verdict, arms, failed_cells: failed, artifacts } = result;
  return (
    <section class="verdict" aria-label="Verdict">
      <h3>
        <span class={`badge ${verdict.works ? "good" : "bad"}`}>
          {verdict.works ? "It works" : "Not shown to work"}
        </span>
      </h3>
      <p>{withNames(verdict.summary, saes)}</p>
      {verdict.reasons.length > 0 && (
        <ul class="arm-report">
          {verdict.reasons.map((reason) => (
            <li key={reason}>{withNames(reason, saes)}</li>
          ))}
        </ul>
      )}
      {failed.length > 0 && (
        <p class="note">{`${failed.length} of the strengths failed: ${failed[0]?.reason ?? ""}`}</p>
      )}
      <ScrollBox label="The best strength and its controls">
        <table>
          <thead>
            <tr>
              <th scope="col">Texts</th>
              <th scope="col" class="number">
                Goal
              </th>
              <th scope="col" class="number">
                Lead of the best
              </th>
              <th scope="col" class="number">
                Perplexity
              </th>
            </tr>
          </thead>
          <tbody>
            {arms.map((arm) => (
              <ArmRow
                key={arm.arm + (arm.detail ?? "")}
                arm={arm.detail === null ? arm : { ...arm, detail: withNames(arm.detail, saes) }}
              />
            ))}
          </tbody>
        </table>
      </ScrollBox>
      <div class="button-row">
        {use && (
          <button type="button" class="button" onClick={use}>
            Use the best
          </button>
        )}
        <ArtifactButton id={artifacts.table} name="sweep.csv" />
        <ArtifactButton id={artifacts.report} name="sweep.json" />
        <ArtifactButton id={artifacts.chart} name="sweep.svg" />
      </div>
    </section>
  );
}

function ArmRow({ arm }: { readonly arm: SweepArm }) {
  const { lead } = arm;
  const interval = lead?.interval
    ? ` (${formatFigure(lead.interval.low, 2)} to ${formatFigure(lead.interval.high, 2)})`
    : "";
  return (
    <tr>
      <th scope="row">
        {armTitles[arm.arm]}
        {arm.detail && <span class="soft small mono"> {arm.detail}</span>}
      </th>
      <td class="number">{formatFigure(arm.goal.mean, 2)}</td>
      <td class="number">{lead ? `${formatFigure(lead.mean, 2)}${interval}` : "–"}</td>
      <td class="number">{formatFigure(arm.perplexity, 2)}</td>
    </tr>
  );
}
