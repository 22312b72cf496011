const tones: Readonly<Record<string, string>> = {
  succeeded: "good",
  failed: "bad",
  running: "busy",
  canceled: "idle",
  queued: "idle",
};

export function StateBadge({ state }: { readonly state: string }) {
  return <span class={`badge ${tones[state] ?? "idle"}`}>{state}</span>;
}
