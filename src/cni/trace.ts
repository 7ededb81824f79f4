/**
 * The trace that a call belongs to, for the runtime's own log to be searched with.
 *
 * @param traceparent the variable TRACEPARENT, which libcni hands down since August 2026
 * @returns 32 hexadecimal digits, or undefined when there is none or it is malformed
 */
export function parseTraceId(traceparent: string | undefined): string | undefined {
  if (traceparent === undefined) return undefined;
  // W3C Trace Context, "traceparent header": version, trace id, parent id, flags; later versions may have more.
  const form = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;
  const [, version, traceId, more] = form.exec(traceparent) ?? [];
  return version === "00" && more !== undefined ? undefined : traceId;
}
