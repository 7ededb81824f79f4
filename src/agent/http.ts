/** The agent's HTTP server: metrics and health. */
import type { MetricsFormat } from "../node/metrics.ts";
import { messageOf } from "../sys/errno.ts";

/** An address to listen on. */
export interface Address {
  readonly hostname: string;
  readonly port: number;
}

const TYPES: Readonly<Record<MetricsFormat, string>> = {
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  classic: "text/plain; version=0.0.4; charset=utf-8",
};

/**
 * Serves `/metrics`, as OpenMetrics to those that accept it, and `/healthz`.
 *
 * @param read makes the text of the metrics
 * @throws {Error} when the address cannot be listened on
 */
export function serveMetrics(address: Address, read: (format: MetricsFormat) => string): void {
  try {
    Deno.serve({ ...address, onListen: () => {} }, (request) => answer(request, read));
  } catch (cause) {
    const { hostname, port } = address;
    throw new Error(
      `Cannot listen on ${JSON.stringify(`${hostname}:${port}`)} for metrics: ${messageOf(cause)}. ` +
        `Name an address of this machine and a free port; "ss -ltnp sport = :${port}" shows who has it`,
      { cause },
    );
  }
}

/** Exported for tests. */
export function answer(request: Request, read: (format: MetricsFormat) => string): Response {
  const { pathname } = new URL(request.url);
  if (!["GET", "HEAD"].includes(request.method)) {
    return new Response("Method not allowed\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  if (pathname === "/healthz") return new Response("ok\n");
  if (pathname !== "/metrics") return new Response("Not found: see /metrics and /healthz\n", { status: 404 });
  const accepts = request.headers.get("accept") ?? "";
  const format = accepts.includes("application/openmetrics-text") ? "openmetrics" : "classic";
  try {
    return new Response(read(format), { headers: { "content-type": TYPES[format] } });
  } catch (error) {
    return new Response(`${messageOf(error)}\n`, { status: 500 });
  }
}
