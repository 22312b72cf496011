import type { PageProps } from "../shell/page.ts";
import { AnalysisView } from "./analysis-view.tsx";
import "./coverage.css";
import { Setup } from "./setup.tsx";

export function CoveragePage({ rest }: PageProps) {
  const [id] = rest;
  return id === undefined ? <Setup /> : <AnalysisView key={id} id={id} />;
}
