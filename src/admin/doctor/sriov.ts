import { listNetworkFunctions, type NetworkFunction } from "../../kernel/inventory.ts";
import { list } from "../../kernel/sysfs.ts";
import { type Finding, ok, warning } from "./finding.ts";

/** Physical functions with their numbers of VFs. Only when no VF at all is there, and no scalable function, it is amiss. */
export function examineSriov(root: string): Finding[] {
  const physical = listNetworkFunctions(root).filter(({ totalVfs }) => totalVfs > 0);
  const findings = physical.map((pf) => ok("sriov", describe(pf)));
  if (physical.some(({ enabledVfs }) => enabledVfs > 0)) return findings;
  const scalable = listScalableFunctions(root);
  if (scalable.length > 0) {
    return [...findings, ok("sriov", `no VFs, but scalable functions: ${scalable.join(", ")}`)];
  }
  const [pf] = [...physical].sort((a, b) => b.rdmaDevices.length - a.rdmaDevices.length);
  if (pf) {
    const command = `echo ${pf.totalVfs} > /sys/bus/pci/devices/${pf.id}/sriov_numvfs`;
    return [
      ...findings,
      warning("sriov", "no VFs are switched on: pods can have physical functions only", command),
    ];
  }
  return [warning(
    "sriov",
    "no network adapter can make VFs: pods can have physical functions only",
    "switch SR-IOV on in the adapter's firmware (NVIDIA: mlxconfig -d ADDRESS set SRIOV_EN=1 NUM_OF_VFS=8), reboot",
  )];
}

function describe({ id, netdevs, driver, enabledVfs, totalVfs }: NetworkFunction): string {
  const name = netdevs.length > 0 ? `${netdevs.join(", ")} (${id})` : id;
  return `${name}, driver ${driver ?? "none"}: ${enabledVfs} of ${totalVfs} VFs`;
}

/** Devices of the auxiliary bus that are named as scalable functions are: `mlx5_core.sf.4`. */
function listScalableFunctions(root: string): string[] {
  return list(`${root}/sys/bus/auxiliary/devices`).filter((name) => /\.sf\.\d+$/.test(name));
}
