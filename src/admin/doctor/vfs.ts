import { isForVirtualMachines, listVfs, type VfStatus } from "../vf_mac/list.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { type Node, quote } from "./node.ts";

/** Whether the virtual functions have what RDMA connections need: driver, RDMA device, address and GUID. */
export function examineVfs({ kernel, executable }: Node): Finding[] {
  return judgeVfs(listVfs(kernel), quote(executable));
}

/**
 * Judges virtual functions: a line for all that are ready, and one for all of an adapter that lack the same.
 *
 * @param program how this program is called, for the commands that fix something
 */
export function judgeVfs(vfs: readonly VfStatus[], program: string): Finding[] {
  // What virtual machines have is no business of pods.
  const ours = vfs.filter(({ driver }) => !isForVirtualMachines(driver));
  const ready = ours.filter((vf) => vf.ready).length;
  const lacking = Map.groupBy(
    ours.filter((vf) => !vf.ready),
    ({ pf, reason, usedByHost }) => JSON.stringify([pf, reason, usedByHost]),
  );
  const findings = [...lacking.values()].map((alike) => judgeAlike(alike, program));
  if (ready > 0) return [ok("vfs", `${ready} of ${vfs.length} ready for RDMA CM`), ...findings];
  return findings.length > 0 ? findings : [ok("vfs", "none for pods")];
}

function judgeAlike(alike: readonly VfStatus[], program: string): Finding {
  const { pf, driver, rdmaDevice, rdmaNetns, reason, usedByHost } = alike[0]!;
  const text = `${pf}: VF ${alike.map(({ number }) => number).join(", ")}: ${reason}`;
  if (driver === undefined) {
    const addresses = alike.map(({ deviceId }) => deviceId).join(" ");
    return warning("vfs", text, `for vf in ${addresses}; do echo $vf > /sys/bus/pci/drivers_probe; done`);
  }
  if (rdmaDevice === undefined && rdmaNetns === undefined) {
    return warning("vfs", text, `load the RDMA module that goes with driver ${driver}`);
  }
  if (usedByHost !== undefined) {
    // The host may well keep it: then it is none for pods.
    const fix = `if it is meant for pods take it from the host, then ${program} vf-mac init ${pf}`;
    return warning("vfs", `${text}, but the host uses it: ${usedByHost}`, fix);
  }
  return problem("vfs", `${text}, so RDMA CM will not work in pods`, `${program} vf-mac init ${pf}`);
}
