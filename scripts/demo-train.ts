// Remakes the bundled demonstration: tokenizer, text, benchmarks, model, saes. See assets/README.md.
//
//   npm run demo:train                     everything that assets/ holds
//   npm run demo:train -- model            one stage: data | tokenizer | model | saes
//   npm run demo:train -- model --steps 200 --work .data/try --folder .data/try/model

import { parseArgs } from "node:util";
import { makeText, writeBenchmarks } from "./demo/make-data.ts";
import { trainModel } from "./demo/train-model.ts";
import { RELEASE, trainSaes } from "./demo/train-saes.ts";
import { trainTokenizer } from "./train-tokenizer.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: "string", default: "assets/models/demo-small" },
    work: { type: "string", default: ".data/demo-train" },
    "sae-tokens": { type: "string" },
    steps: { type: "string" },
  },
});
const STAGES: Readonly<Record<string, () => void | Promise<void>>> = {
  data: () => {
    makeText("assets/text");
    writeBenchmarks("assets/benchmarks");
  },
  tokenizer: () => trainTokenizer(values.folder),
  model: () =>
    trainModel({ folder: values.folder, work: values.work, ...(values.steps ? { steps: Number(values.steps) } : {}) }),
  saes: () =>
    trainSaes(`assets/saes/${RELEASE}`, values.work, values["sae-tokens"] ? Number(values["sae-tokens"]) : undefined),
};

const wanted = positionals.length > 0 ? positionals : Object.keys(STAGES);
for (const name of wanted) {
  if (!STAGES[name]) throw new Error(`there is no stage ${name}; the stages are ${Object.keys(STAGES).join(", ")}`);
}
for (const name of wanted) {
  console.log(`stage ${name}`);
  await STAGES[name]!();
}
