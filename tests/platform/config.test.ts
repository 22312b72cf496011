import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConfigInvalid, describeConfig, parseConfig } from "../../platform/config.ts";

test("nothing set is a valid configuration: loopback, auth off, everything in .data", () => {
  expect(parseConfig({})).toMatchObject({
    HOST: "127.0.0.1",
    PORT: 8080,
    AUTH: "off",
    DATA_DIR: ".data",
    CORS_ORIGINS: [],
  });
});

test("values are read by their type, and an empty one counts as absent", () => {
  const config = parseConfig({
    PORT: "0",
    TRUST_PROXY: "on",
    CORS_ORIGINS: "https://a.example, https://b.example",
    LOG_LEVEL: "",
  });
  expect(config).toMatchObject({
    PORT: 0,
    TRUST_PROXY: true,
    CORS_ORIGINS: ["https://a.example", "https://b.example"],
    LOG_LEVEL: "info",
  });
});

test("the configuration cannot be changed", () => {
  expect(() => Object.assign(parseConfig({}), { PORT: 1 })).toThrow(TypeError);
});

describe("authentication", () => {
  test("is on by default for any address but loopback", () => {
    expect(parseConfig({ HOST: "0.0.0.0" }).AUTH).toBe("on");
    for (const HOST of ["localhost", "127.0.0.1", "127.8.8.8", "::1"]) expect(parseConfig({ HOST }).AUTH).toBe("off");
  });

  test("cannot be off where others can reach it", () => {
    for (const HOST of ["0.0.0.0", "::", "192.168.1.5", "127.0.0.1.example.com"])
      expect(() => parseConfig({ HOST, AUTH: "off" })).toThrow(/AUTH: off is allowed on loopback only/);
  });
});

test("every wrong value is named at once", () => {
  const wrong = {
    PORT: "eighty",
    DEVICE: "tpu",
    ADMIN_API_KEY: "short",
    AWS_ACCESS_KEY_ID: "alone",
    TRUST_PROXY: "maybe",
  };
  const attempt = () => parseConfig(wrong);
  expect(attempt).toThrow(ConfigInvalid);
  for (const key of Object.keys(wrong)) expect(attempt).toThrow(new RegExp(`${key}: `));
});

test(".env.example is what the schema says", () => {
  expect(readFileSync(".env.example", "utf8"), "run npx tsx scripts/print-env-example.ts").toBe(describeConfig());
});
