// Which programs of distributions are asked for the files of an initramfs.
import { checkInitramfs } from "../../src/cli/netns_mode/initramfs.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

const RELEASE = "6.12.1";

for (const lister of ["lsinitramfs", "lsinitrd", "lsinitcpio"]) {
  Deno.test(`${lister} is asked, where it is what the distribution has`, () => {
    using root = new Root({ [`/boot/initrd.img-${RELEASE}`]: "", [`/bin/${lister}`]: LISTS_IB_CORE });
    Deno.chmodSync(`${root.path}/bin/${lister}`, 0o755);
    const path = Deno.env.get("PATH")!;
    Deno.env.set("PATH", `${root.path}/bin`);
    try {
      assertEquals(checkInitramfs(undefined, { root: root.path, release: RELEASE }).state, "older");
    } finally {
      Deno.env.set("PATH", path);
    }
  });
}

/** It is given the path of the image and nothing else. */
const LISTS_IB_CORE = `#!/bin/sh
case "$#$1" in 1/*initrd.img-${RELEASE}) echo usr/lib/modules/${RELEASE}/kernel/ib_core.ko.xz ;; esac
`;
