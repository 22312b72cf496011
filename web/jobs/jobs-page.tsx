import type { PageProps } from "../shell/page.ts";
import { JobDetail } from "./job-detail.tsx";
import { JobList } from "./job-list.tsx";
import "./jobs.css";

export function JobsPage({ rest, query }: PageProps) {
  const [id] = rest;
  if (id !== undefined) return <JobDetail key={id} id={id} />;
  return <JobList state={query.get("state") ?? ""} kind={query.get("kind") ?? ""} />;
}
