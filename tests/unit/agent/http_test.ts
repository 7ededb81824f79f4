import { answer, serveMetrics } from "../../../src/agent/http.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const fail = (): string => {
  throw new Error('Cannot read "/var/lib/cni/rdma"');
};

/** Returns status, type, text and the methods that are allowed. */
async function ask(path: string, init: RequestInit = {}, read = fail) {
  const response = answer(new Request(`http://node:9567${path}`, init), read);
  const [type, allow] = ["content-type", "allow"].map((name) => response.headers.get(name));
  return [response.status, type, await response.text(), allow];
}

Deno.test("metrics are text, whatever the client would rather have", async () => {
  const accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
  const wanted = [200, "text/plain; version=0.0.4; charset=utf-8", "text", null];
  assertEquals(await ask("/metrics", { headers: { accept } }, () => "text"), wanted);
  assertEquals((await ask("/metrics?name=any", { method: "HEAD" }, () => "text"))[0], 200);
});

Deno.test("health needs no metrics, and nothing else is there", async () => {
  assertEquals(await ask("/healthz"), [200, "text/plain;charset=UTF-8", "ok\n", null]);
  for (const path of ["/", "/metrics/", "/healthz/x", "//metrics", "/metrics%00"]) {
    assertEquals((await ask(path))[0], 404, path);
  }
});

Deno.test("methods that would change something are refused, with those that are not", async () => {
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
    for (const path of ["/metrics", "/healthz", "/"]) {
      const [status, , , allow] = await ask(path, { method });
      assertEquals([status, allow], [405, "GET, HEAD"], `${method} ${path}`);
    }
  }
});

Deno.test("metrics that cannot be read are an error that says why", async () => {
  const [status, , text] = await ask("/metrics");
  assertEquals([status, text], [500, 'Cannot read "/var/lib/cni/rdma"\n']);
});

Deno.test("an address that cannot be listened on is named as people write it", () => {
  for (const [hostname, named] of [["::1", "[::1]:70000"], ["127.0.0.1", "127.0.0.1:70000"]] as const) {
    const words = `Cannot listen on "${named}" for metrics: `;
    assertThrows(() => serveMetrics({ hostname, port: 70000 }, fail), Error, words);
  }
});
