/** "{sae}:{index}" in its parts; null for what is not one. */
export function splitReference(reference: string): { readonly sae: string; readonly index: number } | null {
  const match = /^([^:]{1,128}):(\d{1,9})$/.exec(reference.trim());
  return match?.[1] === undefined ? null : { sae: match[1], index: Number(match[2]) };
}
