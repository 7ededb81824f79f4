/** The agent's HTTP server: metrics and health. */
import { messageOf } from "../sys/errno.ts";

/** An address to listen on. */
export interface Address {
  readonly hostname: string;
  readonly port: number;
}

/**
 * Serves `/metrics` and `/healthz`.
 *
 * @param read makes the text of the metrics
 * @throws {Error} when the address cannot be listened on
 */
export function serveMetrics(address: Address, read: () => string): void {
  try {
    Deno.serve({ ...address, onListen: () => {} }, (request) => answer(request, read));
  } catch (cause) {
    const { hostname, port } = address;
    const host = hostname.includes(":") ? `[${hostname}]` : hostname;
    throw new Error(
      `Cannot listen on ${JSON.stringify(`${host}:${port}`)} for metrics: ${messageOf(cause)}. ` +
        `Name an address of this machine and a free port; "ss -ltnp sport = :${port}" shows who has it`,
      { cause },
    );
  }
}

/** Exported for tests. */
export function answer(request: Request, read: () => string): Response {
  const { pathname } = new URL(request.url);
  if (!["GET", "HEAD"].includes(request.method)) {
    return new Response("Method not allowed\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  if (pathname === "/healthz") return new Response("ok\n");
  if (pathname !== "/metrics") return new Response("Not found: see /metrics and /healthz\n", { status: 404 });
  try {
    return new Response(read(), { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
  } catch (error) {
    return new Response(`${messageOf(error)}\n`, { status: 500 });
  }
}
