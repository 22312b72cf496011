// The bundled demonstration as a filled form: English text pushed into Chinese (assets/README.md).
import type { Model, Sae } from "../api/catalog.ts";
import { emptyEdit, emptyForm, type SteerForm } from "./steer-form.ts";

/** null where the bundled model or its sae is not registered. */
export function exampleForm(models: readonly Model[], saes: readonly Sae[]): SteerForm | null {
  const sae = saes.find(({ name }) => name === "demo-small-topk-layer3");
  if (!sae || !models.some(({ name }) => name === "demo-small")) return null;
  const edit = { ...emptyEdit, feature: `${sae.name}:1655`, value: 1.5, prompt: "last" as const };
  return { ...emptyForm, model: "demo-small", prompt: "Yesterday morning, my sister", control: true, edits: [edit] };
}
