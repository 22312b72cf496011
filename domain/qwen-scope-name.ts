// Qwen-Scope's saes carry no configuration: width and k stand in the name of their repository or folder.

export interface QwenScopeRelease {
  readonly backbone: string;
  readonly width: number;
  readonly k: number;
}

/**
 * `SAE-Res-{backbone}-W{width}-L0_{k}`, in front of it possibly `Qwen/` or, in a cache of the hub, `models--Qwen--`. A K after
 * the width multiplies by 1024. Null for any other name.
 */
export function parseReleaseName(name: string): QwenScopeRelease | null {
  const match = /^(?:models--[\w.-]+--|[\w.-]+\/)?SAE-Res-([\w.-]+)-W(\d{1,7})(K?)-L0_(\d{1,6})$/.exec(name);
  if (!match) return null;
  const width = Number(match[2]) * (match[3] ? 1024 : 1);
  return { backbone: match[1]!, width, k: Number(match[4]) };
}

/** The release that the nearest of a path's parts is named after. */
export function releaseOfPath(path: string): QwenScopeRelease | null {
  for (const part of path.split("/").toReversed()) {
    const release = parseReleaseName(part);
    if (release) return release;
  }
  return null;
}

export function releaseName({ backbone, width, k }: QwenScopeRelease): string {
  const size = width % 1024 === 0 ? `${width / 1024}K` : `${width}`;
  return `SAE-Res-${backbone}-W${size}-L0_${k}`;
}
