// The request of the form as a program: what the page sent, for a terminal, Node or Python. Built from the same body.
import { requestOf, type SteerForm } from "./steer-form.ts";

export type Language = "curl" | "node" | "python";

interface Server {
  /** http://host:port */
  readonly url: string;
  /** Whether requests need a key; it is read from QWEN_SCOPE_API_KEY, never written out. */
  readonly needsKey: boolean;
}

export function clientCode(language: Language, form: SteerForm, server: Server): string {
  const generators = { curl: curlCode, node: nodeCode, python: pythonCode };
  return generators[language](form, server);
}

function curlCode(form: SteerForm, { url, needsKey }: Server): string {
  const { path, body } = requestOf(form);
  return [
    `curl ${shellQuoted(url + path)} \\`,
    `  -H 'Content-Type: application/json' \\`,
    ...(needsKey ? [`  -H "Authorization: Bearer $QWEN_SCOPE_API_KEY" \\`] : []),
    `  --data-binary ${shellQuoted(literal(body, json))}`,
    "",
  ].join("\n");
}

function nodeCode(form: SteerForm, { url, needsKey }: Server): string {
  const { path, body } = requestOf(form);
  const isChat = path === "/v1/chat/completions";
  return [
    'import OpenAI from "openai";',
    "",
    `const client = new OpenAI({ baseURL: ${JSON.stringify(`${url}/v1`)}, apiKey: ${needsKey ? "process.env.QWEN_SCOPE_API_KEY" : '"none"'} });`,
    "",
    `const answer = await client.${isChat ? "chat." : ""}completions.create(${literal(body, json)});`,
    "for (const choice of answer.choices) {",
    `  console.log(\`[\${choice.role_in_experiment ?? "answer"}] \${choice.${isChat ? "message.content" : "text"}}\`);`,
    "}",
    "",
  ].join("\n");
}

function pythonCode(form: SteerForm, { url, needsKey }: Server): string {
  const { path, body } = requestOf(form);
  const isChat = path === "/v1/chat/completions";
  const { steering, ...known } = body;
  const entries = Object.entries(known).map(([name, value]) => `    ${name}=${literal(value, python, "    ")},`);
  const extra = steering ? [`    extra_body={"steering": ${literal(steering, python, "    ")}},`] : [];
  return [
    ...(needsKey ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(`${url}/v1`)}, api_key=${needsKey ? 'os.environ["QWEN_SCOPE_API_KEY"]' : '"none"'})`,
    "",
    `answer = client.${isChat ? "chat." : ""}completions.create(`,
    ...entries,
    ...extra,
    ")",
    "for choice in answer.choices:",
    `    role = (choice.model_extra or {}).get("role_in_experiment", "answer")`,
    `    print(f"[{role}] {choice.${isChat ? "message.content" : "text"}}")`,
    "",
  ].join("\n");
}

/** Single quotes keep everything but themselves. */
function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

type Words = Readonly<Record<"null" | "true" | "false", string>>;
const json: Words = { null: "null", true: "true", false: "false" };
const python: Words = { null: "None", true: "True", false: "False" };

/** JSON, or Python: its strings and numbers are JSON's, its words are not. What is short stands on one line. */
function literal(value: unknown, words: Words, indent = ""): string {
  const deeper = `${indent}  `;
  if (value === null || value === undefined) return words.null;
  if (typeof value === "boolean") return value ? words.true : words.false;
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) {
    const items = value.map((item) => literal(item, words, deeper));
    return bracketed("[", "]", items, indent);
  }
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  const items = fields.map(([key, field]) => `${JSON.stringify(key)}: ${literal(field, words, deeper)}`);
  return bracketed("{", "}", items, indent);
}

function bracketed(open: string, close: string, items: readonly string[], indent: string): string {
  const short = `${open}${items.join(", ")}${close}`;
  if (short.length <= 72 && !short.includes("\n")) return short;
  return `${open}\n${items.map((item) => `${indent}  ${item}`).join(",\n")}\n${indent}${close}`;
}
