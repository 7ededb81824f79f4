import { exists } from "../../kernel/sysfs.ts";
import { LibmnlMissing } from "../../kernel/error.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import type { Node } from "./node.ts";

/** Where the installed plugin finds a copy of its own. */
const COPY = "/opt/cni/bin/.rdma-cni/libmnl.so.0";
const INSTALL = "apt-get install libmnl0, or: dnf install libmnl, or: zypper install libmnl0";

/** Whether the plugin will find libmnl: the system's, or the copy beside it. */
export function examineLibmnl({ kernel, root }: Node): Finding[] {
  try {
    return [ok("libmnl", `found: ${kernel.findLibmnl()}`)];
  } catch (error) {
    if (!(error instanceof LibmnlMissing)) throw error;
    return exists(`${root}${COPY}`)
      ? [warning("libmnl", `the installed plugin has a copy, ${COPY}, but this program finds none`, INSTALL)]
      : [problem("libmnl", error.message, INSTALL)];
  }
}
