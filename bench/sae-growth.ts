/**
 * One optimiser step of a TopK sae at widths from 4,096 to 65,536 and fixed k, beside the encoder product of the same batch: the time
 * per token should grow no faster than the product.
 */
import { cpus } from "node:os";
import { type Spread, serveRounds, spread, startContestant } from "./contestant.ts";
import { openProduct, openStep, type StepSize } from "./sae-work.ts";

const allWidths = [4096, 8192, 16_384, 32_768, 65_536];

const sizeOf = (width: number): StepSize => ({
  dModel: 1024,
  width,
  k: 50,
  batchRows: 2048,
  microBatchRows: 512,
  auxK: 512,
});

/** `npm run bench -- sae-growth [rounds] [width,…]` */
export async function benchSaeGrowth(args: readonly string[]) {
  const [roundsText = "4", widthsText = allWidths.join()] = args;
  const widths = widthsText.split(",").map(Number);
  const rows: { width: number; step: number[]; product: number[]; peakBytes: number }[] = [];
  for (const width of widths) rows.push(await measure(width, Number(roundsText)));

  const perToken = (seconds: readonly number[]): Spread => spread(seconds.map((s) => s / sizeOf(0).batchRows));
  const bySize = <T>(value: (row: (typeof rows)[number]) => T) =>
    Object.fromEntries(rows.map((row) => [row.width, value(row)]));
  const first = rows[0]!;
  const growth = (row: (typeof rows)[number], of: "step" | "product") =>
    spread(row[of]).median / spread(first[of]).median;
  return {
    name: "sae-growth",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: { ...sizeOf(0), width: widths, rounds: first.step.length },
    ours: { seconds: bySize((row) => perToken(row.step)), peak_resident_bytes: bySize((row) => row.peakBytes) },
    peer: null,
    floor: { seconds: bySize((row) => perToken(row.product)) },
    growth: { ours: bySize((row) => growth(row, "step")), floor: bySize((row) => growth(row, "product")) },
    ratios: Object.fromEntries(
      rows.map((row) => [`sae-growth.floor_${row.width}`, spread(row.step.map((s, i) => s / row.product[i]!))]),
    ),
  };
}

async function measure(width: number, rounds: number) {
  const args = [...process.execArgv, import.meta.filename, String(width)];
  const contestant = (await startContestant(String(width), process.execPath, args))!;
  const seconds: Record<"step" | "product", number[]> = { step: [], product: [] };
  for (let round = -1; round < rounds; round++) {
    for (const task of ["step", "product"] as const) {
      const time = await contestant.round(task);
      // The first round pays for pages and caches.
      if (round >= 0) seconds[task].push(time);
    }
  }
  return { width, ...seconds, peakBytes: await contestant.end() };
}

const width = Number(process.argv[2]);
if (process.argv[1] === import.meta.filename && width > 0) {
  const step = await openStep(sizeOf(width));
  const product = await openProduct(sizeOf(width));
  await serveRounds((task) => (task === "step" ? step(0) : product()));
}
