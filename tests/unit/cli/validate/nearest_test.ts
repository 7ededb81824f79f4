import { findNearest } from "../../../../src/cli/validate/keys.ts";
import { assertEquals } from "../../../support/assert.ts";

const WORDS = ["deviceID", "allowPF", "logLevel", "logFile"];

for (
  const [word, nearest] of [
    ["deviceId", "deviceID"],
    ["device", "deviceID"],
    ["allow_pf", "allowPF"],
    ["loglevl", "logLevel"],
    ["log", undefined],
    ["rdmaQoS", undefined],
    ["", undefined],
  ] as const
) {
  Deno.test(`${JSON.stringify(word)} is near ${nearest}`, () =>
    assertEquals(findNearest(word, WORDS), nearest));
}

Deno.test("of no words none is near", () => assertEquals(findNearest("a", []), undefined));
