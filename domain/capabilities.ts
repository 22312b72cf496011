// What can be done right now: the workers that are there, and what they say about themselves.
import { type Static, Type } from "typebox";
import { nullable, oneOf, Timestamp } from "./schema.ts";

const WorkerAbility = Type.Object(
  {
    class: oneOf(["interactive", "batch"]),
    device: oneOf(["cpu", "cuda", "webgpu"]),
    threads: nullable(Type.Integer()),
    memory_bytes: nullable(Type.Integer({ description: "granted to the worker" })),
    runtime: nullable(Type.String({ description: "what a fingerprint names, e.g. onnxruntime-1.30.0-cpu" })),
    job_kinds: Type.Array(Type.String(), { description: "of a batch worker" }),
    models: Type.Array(Type.String(), { description: "of an interactive worker: ids of the models it serves" }),
    draining: Type.Boolean({ description: "finishes what it has and takes nothing new" }),
    started_at: Timestamp,
  },
  { title: "WorkerAbility" },
);

export const Capabilities = Type.Object(
  {
    object: Type.Literal("capabilities"),
    job_kinds: Type.Record(Type.String(), Type.Boolean(), {
      description: "every kind of job, and whether a worker that is there would take it",
    }),
    served_models: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), workers: Type.Integer() }), {
      description: "models of this workspace that completions and encodes can use now",
    }),
    workers: Type.Array(WorkerAbility),
  },
  {
    title: "Capabilities",
    examples: [
      {
        object: "capabilities",
        job_kinds: { "sae.train": true },
        served_models: [{ id: "model_01jd5xk0m4q8v7w2r3t5y6z8ac", name: "demo-small", workers: 1 }],
        workers: [
          {
            class: "batch",
            device: "cpu",
            threads: 2,
            memory_bytes: 12_884_901_888,
            runtime: "onnxruntime-1.30.0-cpu",
            job_kinds: ["sae.train"],
            models: [],
            draining: false,
            started_at: "2026-11-22T12:00:00.000Z",
          },
        ],
      },
    ],
  },
);
export type Capabilities = Static<typeof Capabilities>;
