import { InvalidArgumentError } from "@commander-js/extra-typings";
import fc from "fast-check";
import { readAbsolutePath, readDuration } from "../../../src/cli/option_values.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

Deno.test("a time is a number and its unit, of at most a day", () => {
  const wanted = { "0": 0, "0s": 0, "900s": 900_000, "15m": 900_000, "1.5h": 5_400_000, "24h": 86_400_000 };
  for (const [text, milliseconds] of Object.entries(wanted)) assertEquals(readDuration(text), milliseconds);
});

for (
  const text of [
    "",
    "15",
    "1d",
    "15 m",
    " 15m",
    "15m ",
    "-1m",
    "+1m",
    "1e3s",
    "0x1s",
    ".5h",
    "1,5h",
    "25h",
    "86401s",
    "m",
    "15M",
    "1h30m",
    `${"9".repeat(400)}s`,
  ]
) {
  Deno.test(`${JSON.stringify(text.slice(0, 20))} is no time`, () => {
    assertThrows(() => readDuration(text), InvalidArgumentError, "such as 15m or 900s");
  });
}

Deno.test("whatever a time is, it is no longer than a day", () => {
  fc.assert(fc.property(fc.stringMatching(/^\d{1,9}(\.\d{1,3})?[smh]?$/), (text) => {
    try {
      const milliseconds = readDuration(text);
      assertEquals(milliseconds >= 0 && milliseconds <= 86_400_000, true);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
    }
  }));
});

Deno.test("a path is absolute, and ends without a slash", () => {
  for (
    const [text, path] of [["/", "/"], ["//", "/"], ["/opt/cni/bin//", "/opt/cni/bin"], ["/a b\n", "/a b\n"]]
  ) {
    assertEquals(readAbsolutePath(text!), path!);
  }
  for (const text of ["", "opt", "./opt", "~/opt", "/a\0b"]) {
    assertThrows(() => readAbsolutePath(text), InvalidArgumentError, "absolute");
  }
});
