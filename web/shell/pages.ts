// The pages, in the order of the navigation. A page is a file in its own folder and one row here; its code and styles are loaded
// when it is first opened.
import type { ComponentType } from "preact";
import type { PageProps } from "./page.ts";

export interface PageEntry {
  readonly path: string;
  readonly title: string;
  readonly load: () => Promise<ComponentType<PageProps>>;
}

export const pages: readonly PageEntry[] = [
  {
    path: "coverage",
    title: "Coverage",
    load: async () => (await import("../coverage/coverage-page.tsx")).CoveragePage,
  },
  { path: "steer", title: "Steer", load: async () => (await import("../steer/steer-page.tsx")).SteerPage },
  {
    path: "features",
    title: "Features",
    load: async () => (await import("../features/features-page.tsx")).FeaturesPage,
  },
  { path: "train", title: "Train", load: async () => (await import("../train/train-page.tsx")).TrainPage },
  { path: "jobs", title: "Jobs", load: async () => (await import("../jobs/jobs-page.tsx")).JobsPage },
];
