import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isPublicAddress, parseAllowedPlaces } from "../../platform/outbound-addresses.ts";

const octet = fc.integer({ min: 0, max: 255 });
const ipv4 = fc.tuple(octet, octet, octet, octet);
const written = (parts: readonly number[]) => parts.join(".");
/** The same address as the last 32 bits of an IPv6 one, in groups of hex digits. */
const inGroups = ([a = 0, b = 0, c = 0, d = 0]: readonly number[]) =>
  [(a << 8) | b, (c << 8) | d].map((group) => group.toString(16)).join(":");

/** The registry of special addresses as arithmetic, apart from the lists of ranges that are under test. */
function isSpecial([a = 0, b = 0, c = 0]: readonly number[]): boolean {
  if (a === 0 || a === 10 || a === 127 || a >= 224) return true;
  if (a === 100) return b >= 64 && b < 128;
  if (a === 169) return b === 254;
  if (a === 172) return b >= 16 && b < 32;
  if (a === 192) return b === 168 || (b === 0 && (c === 0 || c === 2)) || (b === 88 && c === 99);
  if (a === 198) return b === 18 || b === 19 || (b === 51 && c === 100);
  return a === 203 && b === 0 && c === 113;
}

/** Chance alone seldom meets 172.16/12 or 100.64/10. */
const nearSpecial = fc.tuple(
  fc.constantFrom(0, 10, 100, 127, 169, 172, 192, 198, 203, 223, 224, 240, 255),
  fc.oneof(octet, fc.constantFrom(0, 15, 16, 17, 18, 19, 20, 31, 32, 51, 63, 64, 88, 127, 128, 168, 254)),
  fc.oneof(octet, fc.constantFrom(0, 2, 99, 100, 113)),
  octet,
);

describe("an address is public", () => {
  test("exactly when no registry gives it a special use, written as IPv4 or inside IPv6", () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, nearSpecial), (parts) => {
        const expected = !isSpecial(parts);
        expect(isPublicAddress(written(parts)), written(parts)).toBe(expected);
        for (const prefix of ["::ffff:", "64:ff9b::"]) {
          expect(isPublicAddress(`${prefix}${inGroups(parts)}`), `${prefix}${inGroups(parts)}`).toBe(expected);
          expect(isPublicAddress(`${prefix}${written(parts)}`), `${prefix}${written(parts)}`).toBe(expected);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("never outside of global unicast, and never in its tunnels and examples", () => {
    const group = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(fc.tuple(group, group, group, group, group, group, group, group), (groups) => {
        const [first, second] = groups;
        const address = groups.map((part) => part.toString(16)).join(":");
        const unicast = first >= 0x2000 && first < 0x4000;
        const tunnel = (first === 0x2001 && (second < 0x200 || second === 0xdb8)) || first === 0x2002;
        expect(isPublicAddress(address), address).toBe(unicast && !tunnel && !(first === 0x3fff && second < 0x1000));
      }),
    );
    for (const address of ["::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "::7f00:1"])
      expect(isPublicAddress(address), address).toBe(false);
    for (const address of ["2001:0:7f00:1::", "2002:7f00:1::1", "2001:db8::1"])
      expect(isPublicAddress(address), address).toBe(false);
    for (const address of ["2606:4700::6810:1", "2a00:1450:4001::1"]) expect(isPublicAddress(address)).toBe(true);
  });

  test("never when it is no address", () => {
    fc.assert(fc.property(fc.string(), (text) => !isPublicAddress(`x${text}`)));
  });
});

describe("what the operator allows", () => {
  test("is a host, with a port or for all", () => {
    const allowed = parseAllowedPlaces(["Judge.internal:8000", "ollama"]);
    expect(allowed.names("judge.internal", 8000)).toBe(true);
    expect(allowed.names("judge.internal", 8001)).toBe(false);
    expect(allowed.names("ollama", 1)).toBe(true);
    expect(allowed.names("other", 8000)).toBe(false);
  });

  test("is an address or a range of them", () => {
    const allowed = parseAllowedPlaces(["127.0.0.1:11434", "10.1.0.0/16", "[::1]:8000", "fd00::/8", "fe80::1"]);
    expect(allowed.addresses("127.0.0.1", 11434)).toBe(true);
    expect(allowed.addresses("127.0.0.1", 80)).toBe(false);
    expect(allowed.addresses("10.1.255.1", 443)).toBe(true);
    expect(allowed.addresses("10.2.0.1", 443)).toBe(false);
    expect(allowed.addresses("::1", 8000)).toBe(true);
    expect(allowed.addresses("fdff::2", 1)).toBe(true);
    expect(allowed.addresses("fe80::1%eth0", 1)).toBe(false);
  });

  test.each([
    "",
    "http://a",
    "a b",
    "10.0.0.0/33",
    "10.0.0/8",
    "1.2.3",
    "fd00::/129",
    "host:0",
    "host:65536",
    "[::1",
    "a/8",
  ])("is not %j", (entry) => expect(() => parseAllowedPlaces([entry])).toThrow(RangeError));
});
