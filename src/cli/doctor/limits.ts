/** The means of this node to limit the RDMA resources of pods. */
import { findRdmaCgroups } from "../../kernel/cgroup.ts";
import { list, readText } from "../../kernel/sysfs.ts";
import { enableCommand, listInQosClasses, listParents, podCgroupOf } from "../../plugin/features/limits.ts";

/** An obstacle to limits, and the way out. */
interface Obstacle {
  readonly text: string;
  readonly fix: string;
}

/** Returns what keeps ADD from setting the limits that a network configuration asks for; undefined when it can. */
export function findLimitsObstacle(root: string): Obstacle | undefined {
  const cgroups = findRdmaCgroups(root);
  if (!cgroups) return explainMissing(root);
  const disabled = listAbovePods(root, cgroups.mount).filter((directory) =>
    // Version 1 has no such file: there a hierarchy has the controller in all of its cgroups.
    readText(`${root}${directory}/cgroup.subtree_control`)?.split(" ").includes("rdma") === false
  );
  if (disabled.length === 0) return undefined;
  return {
    text: `the rdma cgroup controller is not enabled for pods by ${disabled.join(", ")}`,
    fix: enableCommand(disabled),
  };
}

/** The directories above the cgroups of pods. One without pods does not show what it will be when it gets some. */
function listAbovePods(root: string, mount: string): string[] {
  const pods = listInQosClasses().flatMap((parent) => {
    const children = list(`${root}${mount}${parent}`).map((name) => `${parent}/${name}`);
    return children.filter((child) => podCgroupOf(`${child}/container`) === child);
  });
  return [...new Set(pods.flatMap((pod) => listParents(mount, pod)))];
}

/** The lines of /proc/cgroups are "name hierarchy cgroups enabled", cgroups(7). */
function explainMissing(root: string): Obstacle {
  const [, enabled] = /^rdma\s+\d+\s+\d+\s+([01])$/m.exec(readText(`${root}/proc/cgroups`) ?? "") ?? [];
  if (enabled === undefined) {
    return {
      text: "the kernel has no rdma cgroup controller",
      fix: '# boot a kernel with CONFIG_CGROUP_RDMA, or remove "rdmaLimits"',
    };
  }
  if (enabled === "0") {
    return {
      text: "the rdma cgroup controller is switched off",
      fix: '# remove "cgroup_disable=rdma" from the kernel command line, reboot',
    };
  }
  return {
    text: "no cgroup hierarchy with the rdma controller is mounted",
    fix: "mkdir -p /sys/fs/cgroup/rdma && mount -t cgroup -o rdma cgroup /sys/fs/cgroup/rdma; " +
      "systemctl restart kubelet",
  };
}
