import { rebuildCommand } from "../../../../src/cli/netns_mode/initramfs.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";

for (
  const [osRelease, command] of [
    ['NAME="Debian GNU/Linux"\nID=debian\n', "update-initramfs -u"],
    ["ID=ubuntu\nID_LIKE=debian\n", "update-initramfs -u"],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dracut -f"],
    ["ID='fedora'\n", "dracut -f"],
    ['ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "dracut -f"],
    ["ID=arch\n", "mkinitcpio -P"],
  ] as const
) {
  Deno.test(`initramfs: ${JSON.stringify(osRelease)} rebuilds by ${command}`, () => {
    assertEquals(rebuildCommand(osRelease), command);
  });
}

Deno.test("initramfs: an unknown distribution is told what there is", () => {
  for (const text of ["", "ID=other\n", "VARIANT_ID=debian\n", "# ID=arch\n"]) {
    assertStringIncludes(rebuildCommand(text), "the distribution's command");
  }
});
