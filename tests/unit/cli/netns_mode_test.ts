import { rebuildCommand } from "../../../src/cli/netns_mode/initramfs.ts";
import * as persist from "../../../src/cli/netns_mode/persist.ts";
import { assertEquals } from "../../support/assert.ts";
import { assertMakes } from "../../support/table.ts";

const { formatModeOption, parseModprobeFile } = persist;

Deno.test("modprobe.d: options of ib_core set the mode, as the kernel understands them", () => {
  assertMakes((text) => parseModprobeFile(text).map(({ mode }) => mode).join(), [
    ["options ib_core netns_mode=0", "exclusive"],
    ["options ib_core netns_mode=1", "shared"],
    ["\toptions  ib-core\tother=2 netns_mode=N ", "exclusive"],
    ["options ib_core netns_mode", "shared"],
    ["options ib_core netns_mode=off", "exclusive"],
    ['options ib_core "netns_mode=0"', "exclusive"],
    ["options ib_core netns_mode=0 netns_mode=1", "exclusive,shared"],
    ["# options ib_core netns_mode=0", ""],
    ["# comment \\\noptions ib_core netns_mode=0", ""],
    ["options ib_core netns_mode=2", ""],
    ["options ib_core netns_mode_x=0", ""],
    ["options mlx5_core netns_mode=0", ""],
    ["install ib_core modprobe ib_core netns_mode=0", ""],
  ]);
});

Deno.test("modprobe.d: lines are counted from 1 and by where a joined one begins", () => {
  const text = "# comment\n\noptions ib_core \\\n  netns_mode=0\noptions ib_core netns_mode=1\n";
  assertEquals(parseModprobeFile(text), [{ line: 3, mode: "exclusive" }, { line: 5, mode: "shared" }]);
  // A backslash at the very end joins nothing.
  assertEquals(parseModprobeFile("options ib_core netns_mode=0 \\"), [{ line: 1, mode: "exclusive" }]);
});

Deno.test("modprobe.d: the line that is written is the line that is read", () => {
  for (const mode of ["exclusive", "shared"] as const) {
    assertEquals(parseModprobeFile(formatModeOption(mode)), [{ line: 1, mode }]);
  }
});

Deno.test("the kernel command line sets the mode as well", () => {
  assertMakes((text) => persist.parseKernelCommandLine(text).map(({ mode }) => mode).join(), [
    ["root=/dev/sda1 ib_core.netns_mode=0 quiet\n", "exclusive"],
    ["ib-core.netns_mode=1", "shared"],
    ["ib_core.netns_mode=0 ib_core.netns_mode=1", "exclusive,shared"],
    ["quiet -- ib_core.netns_mode=0", ""],
    ["xib_core.netns_mode=0 ib_core.other=1 netns_mode=0", ""],
  ]);
});

Deno.test("initramfs: each distribution has its command; of an unknown one it is told what there is", () => {
  const unknown = "the distribution's command for it (update-initramfs -u, dracut -f or mkinitcpio -P)";
  assertMakes(rebuildCommand, [
    ['NAME="Debian GNU/Linux"\nID=debian\n', "update-initramfs -u"],
    ["ID=ubuntu\nID_LIKE=debian\n", "update-initramfs -u"],
    ["ID='fedora'\n", "dracut -f"],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dracut -f"],
    ['ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "dracut -f"],
    ["ID=arch\n", "mkinitcpio -P"],
    ["", unknown],
    ["VARIANT_ID=debian\n", unknown],
  ]);
});
