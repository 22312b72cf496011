/** `npm run bench -- NAME`: runs one benchmark and prints one JSON object as its last line. */
import { benchDecode } from "./decode.ts";
import { benchFeaturesIndex } from "./features-index.ts";
import { benchMatrix } from "./matrix.ts";
import { benchOpenModel } from "./open-model.ts";
import { benchPrefill } from "./prefill.ts";
import { benchQuantized } from "./quantized.ts";
import { benchSaeGrowth } from "./sae-growth.ts";
import { benchSaeLayers } from "./sae-layers.ts";
import { benchSaeStep } from "./sae-step.ts";
import { benchUpload } from "./upload.ts";

/** By name. A new benchmark is a file of its own and one line here. */
const benches: Readonly<Record<string, (args: readonly string[]) => unknown>> = {
  decode: benchDecode,
  "features-index": benchFeaturesIndex,
  matrix: benchMatrix,
  "open-model": benchOpenModel,
  prefill: benchPrefill,
  quantized: benchQuantized,
  "sae-growth": benchSaeGrowth,
  "sae-layers": benchSaeLayers,
  "sae-step": benchSaeStep,
  upload: benchUpload,
};

const name = process.argv[2] ?? "";
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench === undefined) {
  console.error(`npm run bench -- NAME, where NAME is one of: ${Object.keys(benches).join(", ")}`);
  process.exitCode = 2;
} else {
  console.log(JSON.stringify(await bench(process.argv.slice(3))));
}
