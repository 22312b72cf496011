import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Sae, useModels, useSaes, useVariants } from "../api/catalog.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import type { PageProps } from "../shell/page.ts";
import { goTo, linkTo } from "../shell/router.ts";
import { ActivationsPanel } from "./activations-panel.tsx";
import { ArmsView } from "./arms-view.tsx";
import { CodePanel } from "./code-panel.tsx";
import { EditList } from "./edit-list.tsx";
import { exampleForm } from "./example.ts";
import { PromptFields } from "./prompt-fields.tsx";
import { SaveVariant } from "./save-variant.tsx";
import { ShareButton } from "./share-button.tsx";
import { decodeForm, encodeForm } from "./share-link.ts";
import { emptyEdit, emptyForm, missingFrom, type SteerForm } from "./steer-form.ts";
import "./steer.css";
import { SweepPanel } from "./sweep-panel.tsx";
import { useExperiment } from "./use-experiment.ts";

export function SteerPage({ query }: PageProps) {
  const [models, variants, saes] = [useModels(), useVariants(), useSaes()];
  const [form, setForm] = useState<SteerForm>(() => formFrom(query));
  const experiment = useExperiment();
  const results = useRef<HTMLDivElement>(null);
  const baseModel = variants.value?.find(({ name }) => name === form.model)?.model_id ?? form.model;
  const model = models.value?.find(({ id, name }) => id === baseModel || name === baseModel) ?? null;
  const ownSaes = useMemo<Sae[]>(
    () => saes.value?.filter(({ model_id }) => model !== null && model_id === model.id) ?? [],
    [saes.value, model],
  );
  const change = (changes: Partial<SteerForm>) => setForm((last) => ({ ...last, ...changes }));
  // A link to steer with a feature names its sae only: the model follows from it.
  useEffect(() => {
    if (form.model !== "" || models.value === null || saes.value === null) return;
    const named = form.edits[0]?.feature.split(":")[0];
    const sae = saes.value.find(({ id, name }) => id === named || name === named);
    const wanted = models.value.find(({ id }) => id === sae?.model_id) ?? models.value.at(-1);
    if (wanted) change({ model: wanted.name });
  }, [form.model, form.edits, models.value, saes.value]);

  const missing = missingFrom(form);
  const run = (next: SteerForm = form) => {
    goTo(linkTo("steer", [], { form: encodeForm(next) }), { replace: true });
    // On a phone the texts stand below the form.
    if (matchMedia("(max-width: 60rem)").matches) results.current?.scrollIntoView({ block: "start" });
    return experiment.run(next);
  };
  const example = exampleForm(models.value ?? [], saes.value ?? []);
  const listProblem = models.problem ?? variants.problem ?? saes.problem;
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Steer</h1>
          <p>Change what a model says by moving along its features, and see what it would have said without.</p>
        </div>
        <ShareButton form={form} />
      </header>
      {listProblem && <ProblemNotice problem={listProblem} retry={models.reload} />}
      <div class="steer-columns">
        <form
          class="steer-form"
          aria-label="What to steer"
          onSubmit={(event) => {
            event.preventDefault();
            if (missing === null) void run();
          }}
        >
          <PromptFields form={form} models={models.value ?? []} variants={variants.value ?? []} change={change} />
          <EditList form={form} saes={ownSaes} change={change} />
          <div class="steer-run">
            {experiment.running ? (
              <button type="button" class="button" onClick={experiment.stop}>
                Stop
              </button>
            ) : (
              <button type="submit" class="button primary" disabled={missing !== null}>
                Run
              </button>
            )}
            <p class="field-hint" aria-live="polite">
              {experiment.running ? "Writing…" : missing}
            </p>
          </div>
        </form>
        <div class="steer-results" ref={results}>
          {experiment.problem && <ProblemNotice problem={experiment.problem} />}
          <ArmsView
            experiment={experiment}
            example={example}
            onExample={(next) => {
              setForm(next);
              void run(next);
            }}
          />
          <ActivationsPanel experiment={experiment} saes={ownSaes} />
          <SweepPanel
            form={form}
            modelId={model?.id ?? null}
            saes={ownSaes}
            use={(edit) => change({ edits: [edit] })}
          />
          <CodePanel form={form} />
          <SaveVariant form={form} modelId={model?.id ?? null} saved={variants.reload} />
        </div>
      </div>
    </>
  );
}

function formFrom(query: URLSearchParams): SteerForm {
  const shared = decodeForm(query.get("form") ?? "");
  if (shared !== null) return shared;
  const feature = query.get("feature");
  return feature === null ? emptyForm : { ...emptyForm, edits: [{ ...emptyEdit, feature }] };
}
