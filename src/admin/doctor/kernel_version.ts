import { type Finding, ok, problem, warning } from "./finding.ts";

/**
 * Whether a kernel has what the plugin needs: RDMA namespaces came with 5.3; with 5.14 namespaces can be told apart by
 * their cookie and interfaces name the device below them.
 *
 * @param release as `uname -r` prints it
 */
export function examineRelease(release: string): Finding[] {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  if (major === undefined) {
    return [
      warning("kernel", `release ${JSON.stringify(release)} has no version number`, "compare: uname -r"),
    ];
  }
  const version = Number(major) * 1000 + Number(minor);
  if (version < 5003) {
    return [
      problem(
        "kernel",
        `${release} has no RDMA namespaces, want 5.3 or newer`,
        "install a newer kernel, reboot",
      ),
    ];
  }
  if (version < 5014) {
    return [warning(
      "kernel",
      `${release} works; from 5.14 on devices and namespaces are found in more cases`,
      "install a newer kernel, reboot",
    )];
  }
  return [ok("kernel", release)];
}
