import type { Template } from "../../domain/template.ts";
import type { PromptTemplate } from "../../platform/database.ts";

export function wireTemplate(row: PromptTemplate): Template {
  return {
    object: "template",
    name: row.name,
    ready: false,
    purpose: row.purpose,
    template: row.template,
    shot: row.shot,
    recognised_by: row.columns.length > 0 ? [row.columns] : [],
    headers: row.header.length > 0 ? [row.header] : [],
    created_at: row.created_at.toISOString(),
  };
}
