import { InvalidArgumentError } from "@commander-js/extra-typings";
import { readAbsolutePath, readDuration } from "../../../src/cli/option_values.ts";
import { assertMakes, assertRefuses } from "../../support/table.ts";

Deno.test("a time is a number and its unit, of at most a day", () => {
  assertMakes(readDuration, [
    ...[["0", 0], ["0s", 0], ["900s", 900_000], ["15m", 900_000], ["1.5h", 5_400_000]] as const,
    ["24h", 86_400_000],
  ]);
  const wrong = "|15|1d|15 m| 15m|15m |-1m|+1m|1e3s|0x1s|.5h|1,5h|25h|86401s|m|15M|1h30m".split("|");
  assertRefuses(readDuration, [...wrong, `${"9".repeat(400)}s`], InvalidArgumentError, "such as 15m or 900s");
});

Deno.test("a path is absolute, and ends without a slash", () => {
  assertMakes(readAbsolutePath, [
    ...[["/", "/"], ["//", "/"], ["/opt/cni/bin//", "/opt/cni/bin"], ["/a b\n", "/a b\n"]] as const,
  ]);
  assertRefuses(readAbsolutePath, ["", "opt", "./opt", "~/opt", "/a\0b"], InvalidArgumentError, "absolute");
});
