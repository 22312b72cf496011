import type { PageProps } from "../shell/page.ts";
import { JobList } from "./job-list.tsx";

export function JobsPage({ query }: PageProps) {
  return <JobList state={query.get("state") ?? ""} kind={query.get("kind") ?? ""} />;
}
