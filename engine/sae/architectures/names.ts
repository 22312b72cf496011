export const architectureNames = ["topk", "batch_topk", "jumprelu", "matryoshka_topk"] as const;
export type ArchitectureName = (typeof architectureNames)[number];
