import { problem, type Verdict, warning } from "../verdict.ts";
import type { Raw } from "./raw.ts";

/** Plugins that move a function's interface into the pod; the RDMA device follows it. */
const MOVERS = ["sriov", "ib-sriov", "host-device", "accelerated-bridge", "ovs"];
/** Plugins that leave interfaces where they are (containernetworking/plugins, folder meta). */
const MODIFIERS = ["bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"];

export function typeOf({ type }: Raw): string {
  return typeof type === "string" ? type : "";
}

/** Whether a plugin of type "rdma" stands where it has an interface to add to. */
export function judgePlace(plugins: readonly Raw[], position: number): Verdict[] {
  const types = plugins.map(typeOf);
  const [before, after] = [types.slice(0, position), types.slice(position + 1)];
  if (before.includes("rdma")) {
    return [
      problem('"rdma" stands there twice: the second finds no device left', 'remove the second "rdma"'),
    ];
  }
  const hasInterface = before.some((type) => !MODIFIERS.includes(type));
  const later = after.filter((type) => type !== "rdma" && !MODIFIERS.includes(type));
  const needed = later.find((type) => MOVERS.includes(type)) ?? (hasInterface ? undefined : later[0]);
  if (needed !== undefined) {
    return [
      problem(`"rdma" stands before "${needed}", whose interface it needs`, `move "rdma" behind "${needed}"`),
    ];
  }
  if (!hasInterface) {
    return [problem(
      '"rdma" is not chained, and makes no interface itself',
      'list it in "plugins", after one such as "sriov" or "host-device"',
    )];
  }
  return later.map((type) =>
    warning(`"rdma" stands before "${type}", which may move or make an interface`, 'move "rdma" to the end')
  );
}

/** Whether ib-sriov moves the RDMA device itself, which it has to do before it moves the interface. */
export function isIsolatedByIbSriov(plugins: readonly Raw[]): boolean {
  return plugins.some((plugin) => typeOf(plugin) === "ib-sriov" && plugin["rdmaIsolation"] === true);
}

/** Why "rdma" cannot stand in a list with "ib-sriov": ADD refuses the device of an IPoIB interface of the pod. */
export function judgeIbSriov(plugins: readonly Raw[]): Verdict {
  return isIsolatedByIbSriov(plugins)
    ? problem('"ib-sriov" moves the RDMA device itself ("rdmaIsolation")', 'remove "rdma"')
    : problem(
      '"rdma" cannot move the RDMA device of an interface of "ib-sriov": the kernel would remove the interface',
      'remove "rdma" and write "rdmaIsolation": true for "ib-sriov"',
    );
}
