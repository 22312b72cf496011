// Prompt templates by name: the ready ones and the workspace's own.
import type { ColumnMapping } from "../domain/dataset.ts";
import { fieldProblem } from "../domain/problem.ts";
import { isTemplateName } from "../domain/prompt-template.ts";
import { readyTemplates } from "../domain/ready-templates.ts";
import { noTemplate, ownShape, readyShapes } from "../domain/template.ts";
import type { NamedShape } from "../domain/template-fit.ts";
import type { PromptTemplate } from "../platform/database.ts";
import type { Platform } from "../platform/platform.ts";

export interface ShapeChoice {
  /** The shapes that a file is held against: the workspace's own first. */
  readonly shapes: readonly NamedShape[];
  /** The template that was named; null: whichever is recognised. */
  readonly template: string | null;
}

/** @throws Problem REFERENCE_NOT_FOUND pointing at `template` for a name that nobody has */
export async function choiceOfShapes(
  platform: Platform,
  workspaceId: string,
  named: string | undefined,
): Promise<ShapeChoice> {
  if (named === noTemplate) return { shapes: [], template: null };
  if (named !== undefined && Object.hasOwn(readyTemplates, named))
    return { shapes: readyShapes().filter(({ template }) => template === named), template: named };
  if (named !== undefined) {
    const own = await ownTemplate(platform, workspaceId, named);
    if (own === null) throw unknownTemplate(named, "/template");
    const shape = shapeOf(own);
    return { shapes: shape === null ? [] : [shape], template: named };
  }
  const own = await platform.db.promptTemplate.findMany({
    where: { workspace_id: workspaceId, NOT: { columns: { isEmpty: true } } },
    orderBy: { created_at: "desc" },
  });
  return { shapes: [...own.map(shapeOf).filter((shape) => shape !== null), ...readyShapes()], template: null };
}

export interface NamedTemplate {
  /** The text of an own template; a ready one by its name. */
  readonly template: string;
  readonly shot: string | undefined;
}

/** What a request means by `template`: a text is itself, a name what it stands for. */
export async function resolveTemplate(
  platform: Platform,
  workspaceId: string,
  source: string,
  pointer: string,
): Promise<NamedTemplate> {
  if (!isTemplateName(source)) return { template: source, shot: undefined };
  const ready = Object.hasOwn(readyTemplates, source) ? readyTemplates[source] : undefined;
  if (ready) return { template: source, shot: ready.shot };
  const own = await ownTemplate(platform, workspaceId, source);
  if (own === null) throw unknownTemplate(source, pointer);
  return { template: own.template, shot: own.shot ?? undefined };
}

export function ownTemplate(platform: Platform, workspaceId: string, name: string): Promise<PromptTemplate | null> {
  return platform.db.promptTemplate.findFirst({ where: { workspace_id: workspaceId, name } });
}

function shapeOf(row: PromptTemplate): NamedShape | null {
  return ownShape({
    name: row.name,
    mapping: row.mapping as ColumnMapping,
    ...(row.columns.length > 0 ? { columns: row.columns } : {}),
    ...(row.header.length > 0 ? { header: row.header } : {}),
  });
}

function unknownTemplate(name: string, pointer: string) {
  const ready = Object.keys(readyTemplates).join(", ");
  const detail = `there is no template "${name}": the ready ones are ${ready}; POST /v1/templates makes one`;
  return fieldProblem("REFERENCE_NOT_FOUND", pointer, detail);
}
