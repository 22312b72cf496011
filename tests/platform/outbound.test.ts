import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createOutbound } from "../../platform/outbound.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

/** A real server on a loopback address; the requests it got are kept. */
async function serve(listener: RequestListener, host = "127.0.0.1") {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    listener(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return { port, requests, url: `http://127.0.0.1:${port}`, place: `127.0.0.1:${port}` };
}

const code = (name: string) => expect.objectContaining({ name: "Problem", code: name });

describe("an address that is not public", () => {
  test.each([
    "http://127.0.0.1",
    "http://127.1",
    "http://2130706433",
    "http://0x7f.0.0.1",
    "http://localhost",
    "http://[::1]",
    "http://[::ffff:127.0.0.1]",
    "http://[::ffff:a9fe:a9fe]",
    "http://0.0.0.0",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1",
    "https://192.168.1.1",
  ])("is refused before anything is sent: %s", async (address) => {
    const { port, requests } = await serve((_, response) => response.end("secret"));
    const url = new URL(address);
    url.port = String(port);
    await expect(createOutbound([])(url)).rejects.toEqual(code("OUTBOUND_REFUSED"));
    expect(requests).toHaveLength(0);
  });

  test("is refused behind a name too, without a word about where the name leads", async () => {
    const { port } = await serve((_, response) => response.end());
    const refused = await createOutbound([])(`http://localhost:${port}`).catch((error: Error) => error);
    expect(String(refused)).toContain("localhost is not on the public internet");
    expect(String(refused)).not.toMatch(/127|::1/);
  });

  test("is reached when the operator names the host, the address or its range", async () => {
    const { port, url } = await serve((_, response) => response.end("here"));
    for (const entry of [`127.0.0.1:${port}`, "127.0.0.1", "127.0.0.0/8"])
      expect(await (await createOutbound([entry])(url)).text()).toBe("here");
    expect(await (await createOutbound(["localhost"])(`http://localhost:${port}`)).text()).toBe("here");
    await expect(createOutbound([`127.0.0.1:${port + 1}`])(url)).rejects.toEqual(code("OUTBOUND_REFUSED"));
  });

  test("is never connected to by a name that changes its mind: a name is looked up once, and what it gave is checked", async () => {
    const { port, requests } = await serve((_, response) => response.end("here"));
    // Answers of a name server under somebody else's control, one after the other.
    const answers = [["10.0.0.1", "127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"]];
    const asked: string[] = [];
    const outbound = (allow: readonly string[]) =>
      createOutbound(allow, (name, _, done) => {
        asked.push(name);
        done(
          null,
          (answers.shift() ?? []).map((address) => ({ address, family: 4 })),
        );
      });
    const url = `http://rebind.example:${port}`;
    expect(await (await outbound(["127.0.0.1"])(url)).text()).toBe("here");
    for (const allow of [["127.0.0.1"], []])
      await expect(outbound(allow)(url)).rejects.toEqual(code("OUTBOUND_REFUSED"));
    expect(asked).toEqual(Array(3).fill("rebind.example"));
    expect(requests).toHaveLength(1);
  });

  test("is refused as the goal of a redirect from an allowed place", async () => {
    const inside = await serve((_, response) => response.end("secret"));
    const outside = await serve((_, response) => response.writeHead(302, { location: inside.url }).end());
    await expect(createOutbound([outside.place])(outside.url)).rejects.toEqual(code("OUTBOUND_REFUSED"));
    expect(inside.requests).toHaveLength(0);
  });
});

test.each(["file:///etc/passwd", "ftp://example.com", "data:,x", "gopher://example.com", "not an address"])(
  "%s is not asked",
  async (url) => {
    await expect(createOutbound([])(url)).rejects.toEqual(code("OUTBOUND_REFUSED"));
  },
);

test("credentials in the address are refused and not repeated", async () => {
  const refused = await createOutbound([])("https://user:hunter2@example.com").catch((error: Error) => error);
  expect(refused).toEqual(code("OUTBOUND_REFUSED"));
  expect(String(refused)).not.toContain("hunter2");
});

describe("a redirect", () => {
  test("to the same origin keeps the headers, to another one only harmless ones", async () => {
    const other = await serve((_, response) => response.end("end"));
    const first = await serve((request, response) => {
      if (request.url === "/start") response.writeHead(307, { location: "/next" }).end();
      else response.writeHead(307, { location: `${other.url}/last` }).end();
    });
    const headers = { authorization: "Bearer t", "x-api-key": "k", cookie: "c=1", range: "bytes=1-", accept: "*/*" };
    const answer = await createOutbound(["127.0.0.1"])(`${first.url}/start`, { headers });
    expect(await answer.text()).toBe("end");
    expect(first.requests.map((request) => request.headers.authorization)).toEqual(["Bearer t", "Bearer t"]);
    const seen = other.requests[0]!.headers;
    expect(seen).toMatchObject({ range: "bytes=1-", accept: "*/*" });
    for (const name of ["authorization", "x-api-key", "cookie"]) expect(seen[name]).toBeUndefined();
  });

  test("is followed as often as the caller says, or handed to it", async () => {
    const loop = await serve((_, response) => response.writeHead(302, { location: "/again" }).end());
    const outbound = createOutbound([loop.place]);
    await expect(outbound(loop.url, { redirects: 3 })).rejects.toEqual(code("OUTBOUND_REFUSED"));
    expect(loop.requests).toHaveLength(4);
    const answer = await outbound(loop.url, { redirects: 0 });
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "/again"]);
  });

  test("changes a POST to a GET without its body where fetch does", async () => {
    for (const [status, method] of [
      [302, "GET"],
      [303, "GET"],
      [307, "POST"],
      [308, "POST"],
    ] as const) {
      const bodies: string[] = [];
      const server = await serve(async (request, response) => {
        const body = (await request.toArray()).join("");
        if (request.url === "/") return response.writeHead(status, { location: "/end" }).end();
        bodies.push(`${request.method} ${body}`);
        return response.end();
      });
      await createOutbound([server.place])(server.url, { method: "POST", body: "text" });
      expect(bodies).toEqual([method === "POST" ? "POST text" : "GET "]);
    }
  });
});

describe("limits", () => {
  test("a body above the cap is refused at its head or where it passes the cap", async () => {
    const said = await serve((_, response) => response.end("x".repeat(2000)));
    await expect(createOutbound([said.place])(said.url, { maxBytes: 1999 })).rejects.toEqual(
      code("OUTBOUND_TOO_LARGE"),
    );
    const streamed = await serve((_, response) => {
      response.write("x".repeat(1000));
      response.end("y".repeat(1000));
    });
    const outbound = createOutbound([streamed.place]);
    const answer = await outbound(streamed.url, { maxBytes: 1999 });
    await expect(answer.text()).rejects.toEqual(code("OUTBOUND_TOO_LARGE"));
    expect(await (await outbound(streamed.url, { maxBytes: 2000 })).text()).toHaveLength(2000);
  });

  test("an answer that does not come, or stops coming, ends in time", async () => {
    const silent = await serve(() => {});
    const stalled = await serve((_, response) => response.write("begin"));
    const outbound = createOutbound(["127.0.0.1"]);
    for (const limit of [{ timeoutMs: 100 }, { idleMs: 100 }]) {
      await expect(outbound(silent.url, limit)).rejects.toEqual(code("OUTBOUND_TIMEOUT"));
      const reading = outbound(stalled.url, limit).then((answer) => answer.text());
      await expect(reading).rejects.toEqual(code("OUTBOUND_TIMEOUT"));
    }
  });

  test("the caller's signal ends the wait for the head and for the body, with its own reason", async () => {
    const silent = await serve(() => {});
    const stalled = await serve((_, response) => response.write("begin"));
    const outbound = createOutbound(["127.0.0.1"]);
    const reason = new Error("no longer wanted");
    await expect(outbound(silent.url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    const waiting = outbound(silent.url, { signal: abort.signal });
    const answer = await outbound(stalled.url, { signal: abort.signal });
    const reading = answer.text();
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(reading).rejects.toBe(reason);
  });
});

test("a connection that is cut, and a host that is not there, are failures that may pass", async () => {
  const cut = await serve((_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("half", () => response.destroy());
  });
  const outbound = createOutbound(["127.0.0.1"]);
  const answer = await outbound(cut.url);
  await expect(answer.text()).rejects.toMatchObject({ code: "OUTBOUND_FAILED", retryable: true });
  await expect(outbound("http://127.0.0.1:1")).rejects.toMatchObject({ code: "OUTBOUND_FAILED", retryable: true });
});

test("head, status and bodies reach the caller and the server as they are", async () => {
  const server = await serve(async (request, response) => {
    const body = (await request.toArray()).join("");
    response.writeHead(418, { "x-method": request.method }).end(`${request.url} ${body}`);
  });
  const outbound = createOutbound([server.place]);
  const body = JSON.stringify({ question: "Où?" });
  const answer = await outbound(`${server.url}/pot?x=1`, { method: "POST", body });
  expect([answer.status, answer.headers.get("x-method")]).toEqual([418, "POST"]);
  expect(await answer.text()).toBe(`/pot?x=1 ${body}`);
  const head = await outbound(server.url, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([418, ""]);
});
