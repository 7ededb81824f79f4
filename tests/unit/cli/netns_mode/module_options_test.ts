import {
  formatModeOption,
  parseKernelCommandLine,
  parseModprobeFile,
} from "../../../../src/cli/netns_mode/persist.ts";
import { assertEquals } from "../../../support/assert.ts";

for (
  const [text, modes] of [
    ["options ib_core netns_mode=0", ["exclusive"]],
    ["options ib_core netns_mode=1", ["shared"]],
    ["\toptions  ib-core\tother=2 netns_mode=N ", ["exclusive"]],
    ["options ib_core netns_mode", ["shared"]],
    ["options ib_core netns_mode=on", ["shared"]],
    ["options ib_core netns_mode=off", ["exclusive"]],
    ['options ib_core "netns_mode=0"', ["exclusive"]],
    ["options ib_core netns_mode=0 netns_mode=1", ["exclusive", "shared"]],
    ["# options ib_core netns_mode=0", []],
    ["#options ib_core netns_mode=0", []],
    ["# comment \\\noptions ib_core netns_mode=0", []],
    ["options ib_core", []],
    ["options ib_core netns_mode=2", []],
    ["options ib_core netns_mode_x=0", []],
    ["options mlx5_core netns_mode=0", []],
    ["alias ib_core netns_mode=0", []],
    ["install ib_core modprobe ib_core netns_mode=0", []],
    ["", []],
  ] as const
) {
  Deno.test(`modprobe.d: ${JSON.stringify(text)} means [${modes}]`, () => {
    assertEquals(parseModprobeFile(text).map(({ mode }) => mode), [...modes]);
  });
}

Deno.test("modprobe.d: lines are counted from 1 and by where a joined one begins", () => {
  const text = "# comment\n\noptions ib_core \\\n  netns_mode=0\noptions ib_core netns_mode=1\n";
  assertEquals(parseModprobeFile(text), [{ line: 3, mode: "exclusive" }, { line: 5, mode: "shared" }]);
});

Deno.test("modprobe.d: a backslash at the very end joins nothing", () => {
  assertEquals(parseModprobeFile("options ib_core netns_mode=0 \\"), [{ line: 1, mode: "exclusive" }]);
});

for (
  const [text, modes] of [
    ["root=/dev/sda1 ib_core.netns_mode=0 quiet\n", ["exclusive"]],
    ["ib-core.netns_mode=1", ["shared"]],
    ["ib_core.netns_mode=0 ib_core.netns_mode=1", ["exclusive", "shared"]],
    ["quiet -- ib_core.netns_mode=0", []],
    ["xib_core.netns_mode=0 ib_core.other=1 netns_mode=0", []],
    ["", []],
  ] as const
) {
  Deno.test(`kernel command line: ${JSON.stringify(text)} means [${modes}]`, () => {
    assertEquals(parseKernelCommandLine(text).map(({ mode }) => mode), [...modes]);
  });
}

Deno.test("the line that is written is the line that is read", () => {
  for (const mode of ["exclusive", "shared"] as const) {
    assertEquals(parseModprobeFile(formatModeOption(mode)), [{ line: 1, mode }]);
  }
});
