import { answered, client, type Schemas } from "../api/client.ts";
import { useResource } from "../api/use-resource.ts";

export type Template = Schemas["Template"];

/** Ready ones and the workspace's own; none while they are being read. */
export function useTemplates(): readonly Template[] {
  const { value } = useResource("templates", (signal) => answered(client.GET("/v1/templates", { signal })));
  return value?.data ?? [];
}
