import { expect, test } from "vitest";
import { jobKindNames } from "../../domain/job.ts";
import { kindTitles } from "../../web/jobs/job-kinds.ts";

test("the console has words for every kind of job, and for no other", () => {
  expect(Object.keys(kindTitles).sort()).toEqual([...jobKindNames].sort());
});
