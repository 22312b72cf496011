import { formatCount, formatSeconds } from "./format.ts";

interface Progress {
  readonly done: number;
  readonly total: number | null;
  readonly unit: string;
  readonly rate: number | null;
  readonly eta_s: number | null;
}

/** How far something is, in words too: "1,200 of 2,000 tokens · 310 per second · 3 s left". */
export function ProgressBar({ label, progress }: { readonly label: string; readonly progress: Progress | null }) {
  const total = progress?.total ?? null;
  const share = progress === null || total === null || total === 0 ? undefined : Math.min(1, progress.done / total);
  return (
    <div class="progress">
      <progress aria-label={label} max={1} value={share} />
      <p class="progress-words">{progress === null ? "waiting" : inWords(progress)}</p>
    </div>
  );
}

function inWords({ done, total, unit, rate, eta_s }: Progress): string {
  const parts = [
    total === null ? `${formatCount(done)} ${unit}` : `${formatCount(done)} of ${formatCount(total)} ${unit}`,
  ];
  if (rate !== null && rate > 0) parts.push(`${formatCount(rate)} per second`);
  if (eta_s !== null) parts.push(`${formatSeconds(eta_s)} left`);
  return parts.join(" · ");
}
