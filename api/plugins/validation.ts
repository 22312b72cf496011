// Requests are checked against the TypeBox schemas themselves; answers are plain JSON.
//
// Fastify's standard validator drops unknown fields and converts types; ours refuses both, except that query and path
// parameters, which are always text, are converted. Fastify's standard serialiser fills and drops fields silently and
// turns an answer that does not match into a 500; ours writes what the handler returned, and the tests compare every
// answer with the document instead.
import fp from "fastify-plugin";
import type { TSchema } from "typebox";
import { Value } from "typebox/value";
import { checkSchema, validationProblem } from "../../domain/schema.ts";

export const validation = fp(
  async (app) => {
    app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => (value: unknown) => {
      // A request without a body arrives as null.
      const given = httpPart === "body" ? (value ?? undefined) : converted(schema, value as Record<string, unknown>);
      const errors = checkSchema(schema, given);
      return errors.length === 0 ? { value: given } : { error: validationProblem(errors) };
    });
    app.setSerializerCompiler(() => (payload) => JSON.stringify(payload));
  },
  { name: "validation" },
);

/** Convert cuts 1.5 to 1 where an integer is wanted: such a text stays as it is, and is refused. */
function converted(schema: TSchema, texts: Record<string, unknown>): unknown {
  const values = Value.Convert(schema, { ...texts }) as Record<string, unknown>;
  const isCut = ([name, value]: [string, unknown]) => typeof value === "number" && value !== Number(texts[name]);
  const cut = Object.entries(values).filter(isCut);
  return { ...values, ...Object.fromEntries(cut.map(([name]) => [name, texts[name]])) };
}
