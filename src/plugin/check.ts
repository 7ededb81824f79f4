import type { Call } from "../cni/dispatch.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { requirePrevResult } from "../cni/result.ts";
import type { Netns } from "../kernel/kernel.ts";
import { requireExclusiveMode } from "./mode.ts";
import type { Node } from "./node.ts";
import { attachmentOf, type AttachmentRecord, isRecordOf, UnreadableRecord } from "./record.ts";
import { isRecorded } from "./recorded_netns.ts";

/**
 * Makes sure that what ADD did still holds: the record, the mode, the devices in the pod by index and name, and the
 * interfaces that the result names.
 *
 * @throws {CniError} code 113 when something is missing
 */
export function check(call: Call, node: Node): void {
  const { environment, config } = call;
  const result = requirePrevResult(config);
  requireExclusiveMode(node.kernel);
  const record = loadRecord(call, node);
  using pod = node.kernel.openNetns(environment.netns);
  checkDevices(record, pod);
  for (const { name, sandbox } of result.interfaces ?? []) {
    if (sandbox === environment.netns && name && !pod.getLink(name)) {
      throw missing(`interface ${JSON.stringify(name)} is not in ${JSON.stringify(pod.path)}`);
    }
  }
}

function loadRecord(call: Call, { state }: Node): AttachmentRecord {
  const attachment = attachmentOf(call);
  try {
    const record = state.load(attachment);
    if (record && isRecordOf(record, attachment)) return record;
  } catch (error) {
    if (!(error instanceof UnreadableRecord)) throw error;
    throw missing(error.message);
  }
  throw missing(`there is no record ${JSON.stringify(`${state.folder}/${state.fileOf(attachment)}`)}`);
}

function checkDevices(record: AttachmentRecord, pod: Netns): void {
  if (record.netns && !isRecorded(pod, record.netns)) {
    throw missing(
      `the devices were moved to another namespace than the one that ${JSON.stringify(pod.path)} is now`,
    );
  }
  const present = pod.listRdmaDevices();
  const names = present.map(({ name }) => name).join(", ") || "none";
  for (const { index, podName, hostName } of record.devices) {
    const device = present.find((candidate) =>
      index === undefined ? candidate.name === podName : candidate.index === index
    );
    const more = [
      ...index === undefined ? [] : [`index ${index}`],
      ...podName === hostName ? [] : [`${JSON.stringify(hostName)} on the host`],
    ];
    const wanted = `RDMA device ${JSON.stringify(podName)}` +
      (more.length > 0 ? ` (${more.join(", ")})` : "");
    if (!device) throw missing(`${wanted} is not in ${JSON.stringify(pod.path)}, which has: ${names}`);
    if (device.name !== podName) throw missing(`${wanted} is called ${JSON.stringify(device.name)} by now`);
  }
}

function missing(what: string): CniError {
  return new CniError(
    ErrorCode.deviceMissing,
    `Check failed: ${what}`,
    "delete the pod, so that it is made anew with its RDMA device",
  );
}
