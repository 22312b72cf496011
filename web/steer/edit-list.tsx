import type { Sae } from "../api/catalog.ts";
import { EditCard } from "./edit-card.tsx";
import { type EditForm, emptyEdit, type SteerForm } from "./steer-form.ts";

interface EditListProps {
  readonly form: SteerForm;
  readonly saes: readonly Sae[];
  change(changes: Partial<SteerForm>): void;
}

export function EditList({ form, saes, change }: EditListProps) {
  const { edits } = form;
  const put = (at: number, edit: EditForm) => change({ edits: edits.map((one, i) => (i === at ? edit : one)) });
  const remove = (at: number) => {
    const rest = edits.filter((_, i) => i !== at);
    change({ edits: rest.length > 0 ? rest : [emptyEdit] });
  };
  return (
    <section aria-label="Edits">
      {edits.map((edit, i) => (
        <EditCard
          // biome-ignore lint/suspicious/noArrayIndexKey: edits are told apart by their number, as in the report
          key={i}
          number={i + 1}
          edit={edit}
          saes={saes}
          put={(next) => put(i, next)}
          remove={edits.length > 1 || edit !== emptyEdit ? () => remove(i) : null}
        />
      ))}
      <div class="steer-edit-foot">
        <button type="button" class="button" onClick={() => change({ edits: [...edits, emptyEdit] })}>
          Add an edit
        </button>
        <label class="check small">
          <input
            type="checkbox"
            checked={form.control}
            onChange={(event) => change({ control: event.currentTarget.checked })}
          />
          Also a random feature of equal size
        </label>
      </div>
    </section>
  );
}
