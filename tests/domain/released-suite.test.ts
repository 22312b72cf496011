import { expect, test } from "vitest";
import { ReleasedSaes, releasedSuite, releaseOfRepo, releasesOfBackbone } from "../../domain/released-suite.ts";
import { checkSchema } from "../../domain/schema.ts";

// Names and layers as the report's table 1 and the repositories have them, typed anew.
const published = [
  ["Qwen3-1.7B-Base-W32K-L0_50", 28, 2048, 32_768, 50],
  ["Qwen3-1.7B-Base-W32K-L0_100", 28, 2048, 32_768, 100],
  ["Qwen3-8B-Base-W64K-L0_50", 36, 4096, 65_536, 50],
  ["Qwen3-8B-Base-W64K-L0_100", 36, 4096, 65_536, 100],
  ["Qwen3.5-2B-Base-W32K-L0_50", 24, 2048, 32_768, 50],
  ["Qwen3.5-2B-Base-W32K-L0_100", 24, 2048, 32_768, 100],
  ["Qwen3.5-9B-Base-W64K-L0_50", 32, 4096, 65_536, 50],
  ["Qwen3.5-9B-Base-W64K-L0_100", 32, 4096, 65_536, 100],
  ["Qwen3.5-27B-W80K-L0_50", 64, 5120, 81_920, 50],
  ["Qwen3.5-27B-W80K-L0_100", 64, 5120, 81_920, 100],
  ["Qwen3-30B-A3B-Base-W32K-L0_50", 48, 2048, 32_768, 50],
  ["Qwen3-30B-A3B-Base-W128K-L0_100", 48, 2048, 131_072, 100],
  ["Qwen3.5-35B-A3B-Base-W32K-L0_50", 40, 2048, 32_768, 50],
  ["Qwen3.5-35B-A3B-Base-W128K-L0_100", 40, 2048, 131_072, 100],
];

test("the suite is the 14 published releases", () => {
  const told = releasedSuite.map(({ repo, layers, d_model, width, k }) => [repo, layers, d_model, width, k]);
  expect(told).toEqual(published.map(([name, ...sizes]) => [`Qwen/SAE-Res-${name}`, ...sizes]));
  for (const release of releasedSuite) expect(checkSchema(ReleasedSaes, release)).toEqual([]);
});

test("a layer's bytes are those that users of the files report: 537 MB at 2048 × 32768", () => {
  const { bytes_per_layer } = releasedSuite.find(({ repo }) => repo === "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50")!;
  expect(Math.round(bytes_per_layer / 1e6)).toBe(537);
});

test("one backbone alone is an instruct model", () => {
  const instruct = releasedSuite.filter(({ tuning }) => tuning === "instruct");
  expect(new Set(instruct.map(({ backbone }) => backbone))).toEqual(new Set(["Qwen/Qwen3.5-27B"]));
});

test("a repository's name says its release, also that of a copy; of names beyond the suite what they say", () => {
  for (const release of releasedSuite) {
    const { width, k } = release;
    expect(releaseOfRepo(release.repo)).toMatchObject({ width, k, released: release });
    expect(releaseOfRepo(release.repo.replace("Qwen/", "copies/"))?.released).toBe(release);
  }
  expect(releaseOfRepo("Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_75")).toMatchObject({
    width: 65_536,
    k: 75,
    released: null,
  });
  expect(releaseOfRepo("Qwen/Qwen3-8B-Base")).toBeNull();
  expect(releasesOfBackbone("Qwen3-8B-Base").map(({ k }) => k)).toEqual([50, 100]);
  expect(releasesOfBackbone("Qwen3-8B")).toEqual([]);
});
