// Where the files of a model or an sae come from.
import { type Static, Type } from "typebox";
import { idPattern } from "./id.ts";
import { closed } from "./schema.ts";
import { SecretName } from "./secret.ts";

export const DirectorySource = closed(
  {
    type: Type.Literal("directory"),
    path: Type.String({
      minLength: 1,
      maxLength: 4096,
      description: "a directory under one of the operator's MODEL_ROOTS; needs the admin scope; symlinks are followed",
    }),
  },
  { title: "DirectorySource" },
);

export const SourceFile = closed({
  path: Type.String({
    pattern: "^(?!/)(?!.*(?:^|/)\\.\\.?(?:/|$))[^\\\\\\0]{1,512}$",
    description: "relative path inside the folder",
  }),
  artifact_id: Type.String({ pattern: idPattern("artifact") }),
});

export const ArtifactsSource = closed(
  {
    type: Type.Literal("artifacts"),
    files: Type.Array(SourceFile, { minItems: 1, maxItems: 2000 }),
  },
  { title: "ArtifactsSource" },
);

export const HubSource = closed(
  {
    type: Type.Literal("hub"),
    repo: Type.String({
      pattern: "^(?!.*(?:--|\\.\\.))(?:[A-Za-z0-9][\\w.-]{0,95}/)?[A-Za-z0-9][\\w.-]{0,95}$",
      description: "{owner}/{name} on the Hugging Face hub, or on the operator's HF_ENDPOINT",
    }),
    revision: Type.Optional(
      Type.String({
        pattern: "^(?!.*\\.\\.)[A-Za-z0-9][\\w./-]{0,199}$",
        default: "main",
        description: "a branch, tag or commit; the commit it stands for is kept",
      }),
    ),
    token_secret: Type.Optional(SecretName),
  },
  { title: "HubSource" },
);
export type HubSource = Static<typeof HubSource>;

export const Source = Type.Union([DirectorySource, ArtifactsSource, HubSource], { description: "where the files are" });
export type Source = Static<typeof Source>;
/** Those whose files are there already. */
export type StoredSource = Exclude<Source, HubSource>;
