import { answer } from "../../../src/agent/http.ts";
import { assertEquals } from "../../support/assert.ts";

async function ask(path: string, init: RequestInit = {}, read = () => "text") {
  const response = answer(new Request(`http://node:9567${path}`, init), read);
  return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
}

Deno.test("metrics are text, whatever the client would rather have", async () => {
  const headers = {
    accept: "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
  };
  assertEquals(await ask("/metrics", { headers }), {
    status: 200,
    type: "text/plain; version=0.0.4; charset=utf-8",
    text: "text",
  });
  assertEquals((await ask("/metrics?name=any", { method: "HEAD" })).status, 200);
});

Deno.test("health needs no metrics, and nothing else is there", async () => {
  const fail = () => {
    throw new Error("not to be read");
  };
  assertEquals(await ask("/healthz", {}, fail), {
    status: 200,
    type: "text/plain;charset=UTF-8",
    text: "ok\n",
  });
  for (const path of ["/", "/metrics/", "/healthz/x", "//metrics", "/metrics%00"]) {
    assertEquals((await ask(path, {}, fail)).status, 404);
  }
});

Deno.test("methods that would change something are refused, with those that are not", async () => {
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
    for (const path of ["/metrics", "/healthz", "/"]) {
      const response = answer(new Request(`http://node${path}`, { method }), () => "");
      assertEquals([response.status, response.headers.get("allow")], [405, "GET, HEAD"]);
      await response.body?.cancel();
    }
  }
});

Deno.test("metrics that cannot be read are an error that says why", async () => {
  const { status, text } = await ask("/metrics", {}, () => {
    throw new Error('Cannot read "/var/lib/cni/rdma"');
  });
  assertEquals([status, text], [500, 'Cannot read "/var/lib/cni/rdma"\n']);
});
