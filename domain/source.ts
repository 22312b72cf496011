// Where the files of a model or an sae come from.
import { type Static, Type } from "typebox";
import { idPattern } from "./id.ts";
import { closed } from "./schema.ts";

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

export const Source = Type.Union([DirectorySource, ArtifactsSource], { description: "where the files are" });
export type Source = Static<typeof Source>;
