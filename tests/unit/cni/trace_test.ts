import { parseTraceId } from "../../../src/cni/environment.ts";
import { assertEquals } from "../../support/assert.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

const SAMPLES: [value: string | undefined, traceId: string | undefined][] = [
  [`00-${TRACE}-${SPAN}-01`, TRACE],
  [`00-${TRACE}-${SPAN}-00`, TRACE],
  [`01-${TRACE}-${SPAN}-01-what-comes-later`, TRACE],
  [`00-${TRACE}-${SPAN}-01-more`, undefined],
  [`ff-${TRACE}-${SPAN}-01`, undefined],
  [`00-${"0".repeat(32)}-${SPAN}-01`, undefined],
  [`00-${TRACE}-${"0".repeat(16)}-01`, undefined],
  [`00-${TRACE.toUpperCase()}-${SPAN}-01`, undefined],
  [`00-${TRACE}-${SPAN}-01\n`, undefined],
  [`00-${TRACE}-${SPAN}`, undefined],
  ["", undefined],
  [undefined, undefined],
];

for (const [value, traceId] of SAMPLES) {
  Deno.test(`the trace of ${JSON.stringify(value)} is ${traceId}`, () => {
    assertEquals(parseTraceId(value), traceId);
  });
}
