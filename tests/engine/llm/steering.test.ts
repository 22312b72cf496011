import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { harvest } from "../../../engine/llm/harvest.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import {
  countEdits,
  createSteeringTally,
  layOutEdits,
  type SteeringEdit,
  selectsToken,
} from "../../../engine/llm/steering.ts";
import { readTensorFloat32, type SafetensorsFile } from "../../../formats/safetensors.ts";
import {
  collect,
  type EditRecord,
  fixtureFolder,
  fixtureNames,
  type Reference,
  readJson,
  referenceNumbers,
  relativeError,
} from "./fixtures.ts";

/** The coefficients of api.md's table of ops. */
function coefficients(op: EditRecord["op"], value: number, direction: Float32Array) {
  const square = direction.reduce((sum, x) => sum + x * x, 0);
  return {
    add: { c0: value, c1: 0, c2: 0 },
    set: { c0: value, c1: -1, c2: 0 },
    scale: { c0: 0, c1: value - 1, c2: 0 },
    ablate: { c0: 0, c1: -1, c2: 0 },
    project_out: { c0: 0, c1: 0, c2: -value / square },
  }[op];
}

async function editsOf(
  numbers: SafetensorsFile,
  name: string,
  records: EditRecord[],
  length: number,
): Promise<SteeringEdit[]> {
  const edits: SteeringEdit[] = [];
  for (const [i, record] of records.entries()) {
    const vector = (kind: string) => readTensorFloat32(numbers, `steering.${name}.${i}.${kind}`);
    const direction = await vector("direction");
    const prompt = new Uint8Array(length);
    for (const position of record.positions) prompt[position] = 1;
    edits.push({
      layer: record.layer,
      direction,
      encoder: { weight: await vector("weight"), bias: record.bias, threshold: record.threshold },
      ...coefficients(record.op, record.value, direction),
      selection: { prompt, generation: { from: 0, to: 0 }, excludeSpecial: false },
      ...(record.gate ? { gate: { ...record.gate, weight: await vector("gate") } } : {}),
    });
  }
  return edits;
}

describe.each(fixtureNames)("steering %s", (name) => {
  const reference = readJson<Reference>(name, "reference.json");
  const ids = Int32Array.from(reference.prompts[0]!);
  let model: LanguageModel;
  let numbers: SafetensorsFile;
  beforeAll(async () => {
    model = await openModel(fixtureFolder(name), { threads: 2 });
    numbers = await referenceNumbers(name);
  });
  afterAll(() => model.close());

  const layers = () => [...Array(model.config.layers).keys()];
  const steered = async (edits: SteeringEdit[]) => {
    const layout = layOutEdits(model.config, [edits])!;
    const packed = layout.pack(ids.length, (_, e, t) => selectsToken(edits[e]!, t, () => false));
    const result = await model.forward({
      sequences: 1,
      tokens: ids.length,
      ids,
      logitRows: [ids.length - 1],
      taps: layers(),
      edits: packed,
    });
    return { result, packed, layout };
  };

  it.each(Object.keys(reference.steering))(
    "%s: logits and residuals are those of a PyTorch forward hook",
    async (which) => {
      const edits = await editsOf(numbers, which, reference.steering[which]!, ids.length);
      const { result } = await steered(edits);
      const residuals = await readTensorFloat32(numbers, `steering.${which}.residuals`);
      const size = ids.length * model.config.dModel;
      result.taps.forEach((tap, layer) => {
        const { error, worst } = relativeError(tap, residuals.subarray(layer * size, (layer + 1) * size));
        expect(error, `layer ${layer} ${worst}`).toBeLessThan(1e-5);
      });
      const logits = relativeError(result.logits, await readTensorFloat32(numbers, `steering.${which}.logits`));
      expect(logits.error, logits.worst).toBeLessThan(1e-5);
    },
  );

  it("the report counts every selected token and measures the change that was made", async () => {
    const edits = await editsOf(numbers, "several", reference.steering.several!, ids.length);
    const { result, packed, layout } = await steered(edits);
    const tally = createSteeringTally(edits);
    tally.add(countEdits(result, packed, layout, 0, ids.length), "prompt");
    const report = tally.report();
    reference.steering.several!.forEach((record, e) => {
      if (!record.gate) expect(report[e]!.promptTokens, `edit ${e}`).toBe(record.positions.length);
      else expect(report[e]!.gateOpenTokens).toBe(report[e]!.promptTokens);
    });
    // Layer 0 has one edit, an add of 1.5·d on the tokens from 3 on: its change is known in closed form from the residual before it.
    const [plain] = await collect(harvest(model, [ids], { layers: [0] }));
    const D = model.config.dModel;
    const norm = (rows: Float32Array) => Math.sqrt(rows.reduce((sum, x) => sum + x * x, 0));
    const changes = [...ids.keys()]
      .slice(3)
      .map((t) => (1.5 * norm(edits[0]!.direction)) / norm(plain!.activations[0]!.subarray(t * D, (t + 1) * D)));
    expect(report[0]!.meanRelativeChange).toBeCloseTo(changes.reduce((a, b) => a + b) / changes.length, 5);
  });

  it("a steered sequence has the same bits alone and beside others with many edits", async () => {
    const own = await editsOf(numbers, "several", reference.steering.several!, ids.length);
    const crowd = Array.from({ length: 40 }, (_, i) => ({
      ...own[i % own.length]!,
      layer: own[i % own.length]!.layer,
    }));
    const rows = async (sequences: Int32Array[], edits: SteeringEdit[][]) => {
      const [batch] = await collect(harvest(model, sequences, { layers: layers(), edits }));
      return batch!.activations.map((all) => all.slice(0, ids.length * model.config.dModel));
    };
    const alone = await rows([ids], [own]);
    const other = Int32Array.from({ length: ids.length + 9 }, (_, i) => (i * 11) % 320);
    expect(await rows([ids, other], [own, crowd])).toEqual(alone);
    expect(await rows([ids, other], [own, []])).toEqual(alone);
    const plain = await rows([ids], []);
    expect(await rows([ids, other], [[], crowd])).toEqual(plain);
    expect(alone).not.toEqual(plain);
  });

  it("taps read after the edits of their layer", async () => {
    const [edit] = await editsOf(numbers, "add", reference.steering.add!, ids.length);
    const tap = async (edits: SteeringEdit[][]) =>
      (await collect(harvest(model, [ids], { layers: [1], edits })))[0]!.activations[0]!;
    const [before, after] = [await tap([]), await tap([[edit!]])];
    const expected = before.map((x, i) => x + 2.5 * edit!.direction[i % model.config.dModel]!);
    expect(relativeError(after, expected).error).toBeLessThan(1e-6);
  });
});
