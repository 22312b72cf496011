// The prose of the OpenAPI document.

export const tags = [
  { name: "models", description: "Causal language models in Hugging Face layout." },
  { name: "saes", description: "Sparse autoencoders for one layer of one model, and their features." },
  {
    name: "datasets",
    description: "Immutable lists of samples; a benchmark is a dataset used for evaluation analysis.",
  },
  { name: "jobs", description: "Asynchronous work: imports, training, analysis." },
  { name: "completions", description: "Text from a model in OpenAI's shapes, with steering." },
  { name: "artifacts", description: "Immutable, content-addressed files." },
  { name: "keys", description: "API keys." },
  { name: "secrets", description: "Keys and tokens for other services, which jobs name and nobody reads." },
  { name: "service", description: "Health and metrics." },
];

export const apiDescription = `Sparse autoencoders as development tools for language models: steer texts along features, train
autoencoders, and compare benchmarks by the features they activate.

- Resources are named by id or, where they have one, by name.
- Errors are \`application/problem+json\` (RFC 9457) with a stable \`code\`; on completions and model reads they have OpenAI's
  shape. All codes are listed at [/problems](/problems).
- Lists have one envelope and opaque cursors, newest first, at most 100 items a page.
- POST routes that create something take \`Idempotency-Key\`.
- Unknown request fields are refused.
- Layers count from 0; \`resid_post.n\` is the output of decoder block n.`;
