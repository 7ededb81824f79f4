import type { ExaminedNode } from "../../src/cli/doctor/finding.ts";
import type { Verdict } from "../../src/cli/report.ts";
import type { AttachmentRecord } from "../../src/plugin/record/record.ts";
import { BareNode } from "../rig/memory/bare_node.ts";
import type { Device, Space } from "../rig/memory/kernel.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";

/** A node for the doctor. */
export class DoctorNode extends BareNode implements ExaminedNode {
  readonly executable = "/usr/local/bin/rdma-cni";

  constructor(files: Record<string, string> = {}) {
    super({ "/proc/sys/kernel/osrelease": "6.12.1\n", ...files });
  }
}

/** The configuration of a network, without fault. */
export const GOOD = JSON.stringify({
  cniVersion: "1.0.0",
  name: "a",
  plugins: [{ type: "sriov" }, { type: "rdma" }],
});

export const POD = "/run/netns/pod";
export const VF = "0000:3b:00.2";
/** The name of the record that belongs to the device in the pod. */
export const FILE = "net-container1-net1";

/** A node with a function whose RDMA device is in a pod, and a second one on the host, and a record to be written. */
export interface Given {
  readonly node: DoctorNode;
  readonly pod: Space;
  readonly device: Device;
  readonly record: AttachmentRecord;
}

export type Change = (given: Given) => unknown;

/** Makes such a node, to which something happens. */
export function nodeAfter(...changes: Change[]): DoctorNode {
  const node = new DoctorNode();
  const pod = node.kernel.addNetns(POD);
  for (const id of [VF, "0000:3b:00.3"]) node.kernel.addFunction(id);
  const device = node.kernel.addDevice(VF, 2, { space: pod });
  node.kernel.addDevice("0000:3b:00.3", 3);
  const record: AttachmentRecord = {
    attachment: { network: "net", containerID: "container1", ifname: "net1" },
    deviceId: VF,
    devices: [{ index: 2, hostName: "mlx5_2", podName: "mlx5_2" }],
    netns: { path: POD, inode: pod.inode, cookie: pod.cookie! },
    bootId: node.kernel.bootId,
    createdAt: 1000,
  };
  for (const change of changes) change({ node, pod, device, record });
  return node;
}

export function recorded({ node, record }: Given): void {
  node.write(FILE, record);
}

export function moveHome({ node: { kernel }, device }: Given): void {
  kernel.place(device, kernel.host);
}

/** Nothing leads to the pod's namespace by a path. */
export function unmount({ node }: Given): void {
  node.kernel.paths.delete(POD);
}

export function holdByProcess({ node, pod }: Given): void {
  node.kernel.paths.delete(POD);
  node.kernel.held.set("/proc/42/ns/net", pod);
}

/** What a fix begins with: a comment of the shell, or one of these commands. */
const PASTABLE =
  /^(#|apt-get|chown|crictl|dmesg|echo|for|kill|kubectl|ls|mkdir|modprobe|mount|mv|nsenter|printf|reboot|rm|umount|update-initramfs|dracut|\/usr\/local\/bin\/rdma-cni) /;

/** Asserts what was found, each line given as `level text -> fix`. */
export function assertFindings(findings: readonly Verdict[], wanted: readonly RegExp[]): void {
  const lines = findings.map(({ level, text, fix }) =>
    `${level} ${text}${fix === undefined ? "" : ` -> ${fix}`}`
  );
  assertEquals(lines.length, wanted.length, lines.join("\n"));
  for (const [index, words] of wanted.entries()) assertMatch(lines[index]!, words);
  for (const { level, fix } of findings) {
    assertEquals(fix === undefined, level === "ok");
    assertMatch(`${fix ?? "#"} `, PASTABLE);
  }
}
