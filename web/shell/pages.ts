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
  { path: "jobs", title: "Jobs", load: async () => (await import("../jobs/jobs-page.tsx")).JobsPage },
];
