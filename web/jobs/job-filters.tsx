import type { JobState } from "../../domain/job.ts";
import { goTo, linkTo } from "../shell/router.ts";
import { kindTitles } from "./job-kinds.ts";

const states: readonly JobState[] = ["queued", "running", "succeeded", "failed", "canceled"];

export function JobFilters({ state, kind }: { readonly state: string; readonly kind: string }) {
  const show = (next: { state: string; kind: string }) => {
    const query = Object.entries(next).filter(([, value]) => value !== "");
    goTo(linkTo("jobs", [], Object.fromEntries(query)));
  };
  return (
    <div class="job-filters">
      <label class="field">
        <span class="field-label">State</span>
        <select value={state} onChange={(event) => show({ state: event.currentTarget.value, kind })}>
          <option value="">any</option>
          {states.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label class="field">
        <span class="field-label">Kind</span>
        <select value={kind} onChange={(event) => show({ state, kind: event.currentTarget.value })}>
          <option value="">any</option>
          {Object.entries(kindTitles).map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
