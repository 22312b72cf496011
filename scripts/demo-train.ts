// Remakes the bundled demonstration: tokenizer, text, benchmarks, model, saes. See assets/README.md.
//
//   npm run demo:train                     everything that assets/ holds
//   npm run demo:train -- model            one stage: tokenizer | model
//   npm run demo:train -- model --tokens 200000 --work .data/try --folder .data/try/model

import { parseArgs } from "node:util";
import { trainModel } from "./demo/train-model.ts";
import { trainTokenizer } from "./train-tokenizer.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: "string", default: "assets/models/demo-small" },
    work: { type: "string", default: ".data/demo-train" },
    tokens: { type: "string", default: "4500000" },
  },
});
const stages = positionals.length > 0 ? positionals : ["tokenizer", "model"];

for (const stage of stages) {
  if (stage === "tokenizer") trainTokenizer(values.folder);
  else if (stage === "model")
    await trainModel({ folder: values.folder, work: values.work, tokens: Number(values.tokens) });
  else throw new Error(`unknown stage ${stage}; stages are tokenizer and model`);
}
