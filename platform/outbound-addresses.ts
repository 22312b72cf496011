// Which addresses a request of ours may reach: what is public, and what the operator names besides.
import { BlockList, isIPv4, isIPv6 } from "node:net";

/** Of the special-purpose registries of IANA: whatever no stranger's host can be at. */
const specialIPv4 = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carriers' NAT
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local, with the clouds' metadata services
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarks of networks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
] as const;

/** Global unicast, and the two ways of writing an IPv4 address, which are judged by what they stand for. */
const publicIPv6 = ["2000::/3", "::ffff:0:0/96", "64:ff9b::/96"] as const;

/** Within global unicast. Teredo and 6to4 carry an IPv4 address of anybody's choice. */
const specialIPv6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"] as const;

const publicSix = blockList(publicIPv6);
const special = blockList([
  ...specialIPv4,
  ...specialIPv6,
  ...specialIPv4.flatMap((range) => {
    const [start, bits] = range.split("/");
    return ["::ffff:", "64:ff9b::"].map((prefix) => `${prefix}${start}/${96 + Number(bits)}`);
  }),
]);

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [start = "", bits] = range.split("/");
    list.addSubnet(start, Number(bits), isIPv4(start) ? "ipv4" : "ipv6");
  }
  return list;
}

/** Whether an address is one that hosts of the public internet have. An address with a zone is of a local link. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special.check(address, "ipv4");
  if (!isIPv6(address) || address.includes("%")) return false;
  return publicSix.check(address, "ipv6") && !special.check(address, "ipv6");
}

export interface AllowedPlaces {
  /** Whatever address this host has. */
  names(host: string, port: number): boolean;
  addresses(address: string, port: number): boolean;
}

/**
 * The operator's exceptions. An entry is a host or an address, either with a port or for all, or a range of addresses:
 * `ollama.internal`, `judge.internal:8000`, `10.1.2.3`, `127.0.0.1:11434`, `[::1]:8000`, `10.1.0.0/16`.
 * @throws RangeError for an entry that is none of these
 */
export function parseAllowedPlaces(entries: readonly string[]): AllowedPlaces {
  const hosts = new Set<string>();
  const ranges: { readonly list: BlockList; readonly port: number | null }[] = [];
  for (const entry of entries) {
    const { host, bits, port } = parseEntry(entry);
    const family = isIPv4(host) ? "ipv4" : isIPv6(host) ? "ipv6" : null;
    if (family === null) {
      hosts.add(port === null ? host : `${host}:${port}`);
      continue;
    }
    const list = new BlockList();
    list.addSubnet(host, bits ?? (family === "ipv4" ? 32 : 128), family);
    ranges.push({ list, port });
  }
  return {
    names: (host, port) => hosts.has(host) || hosts.has(`${host}:${port}`),
    addresses: (address, port) =>
      !address.includes("%") &&
      ranges.some(
        (range) => (range.port ?? port) === port && range.list.check(address, isIPv4(address) ? "ipv4" : "ipv6"),
      ),
  };
}

/** The entry that allows just the host and port of an address. */
export function placeOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

function parseEntry(entry: string): { host: string; bits: number | null; port: number | null } {
  const text = entry.trim().toLowerCase();
  const refuse = () =>
    new RangeError(`${JSON.stringify(entry)} is no host, host:port, address, address:port or range of addresses`);
  if (isIPv6(text)) return { host: text, bits: null, port: null };
  const range = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(text);
  if (range) {
    const [, host = "", bits] = range;
    if (!(isIPv4(host) && Number(bits) <= 32) && !(isIPv6(host) && Number(bits) <= 128)) throw refuse();
    return { host, bits: Number(bits), port: null };
  }
  const [, six, name, digits] = /^(?:\[([0-9a-f.:]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = six ?? name;
  const port = digits === undefined ? null : Number(digits);
  const isHost = six === undefined ? !/^[\d.]+$/.test(name ?? "") || isIPv4(name ?? "") : isIPv6(six);
  if (host === undefined || !isHost || (port !== null && (port < 1 || port > 65535))) throw refuse();
  return { host, bits: null, port };
}
