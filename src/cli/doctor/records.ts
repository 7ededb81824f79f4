/** The records of the plugin, compared with the kernel. */
import type { Netns } from "../../kernel/kernel.ts";
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { countAway } from "../../plugin/device.ts";
import { isSameNetns, openRecorded } from "../../plugin/namespaces.ts";
import { type AttachmentRecord, getRecordedDevice } from "../../plugin/record.ts";
import {
  isRecord,
  State,
  STATE_DIRECTORY,
  type StoredRecord,
  type UnreadableFile,
} from "../../plugin/state.ts";
import { type Finding, type Node, ok, problem, quote, warning } from "./finding.ts";
import { isExclusive, listNamespaces } from "./kernel.ts";

/** The state directory below a root. */
export function stateDirectory(root: string): string {
  return `${root}${STATE_DIRECTORY}`;
}

/** Whether the records match the kernel: a line for each that does not, and one for all others. */
export function examineRecords({ kernel, root, executable }: Node): Finding[] {
  const directory = stateDirectory(root);
  const canMove = isExclusive(kernel);
  const entries = new State(directory).listFiles();
  const findings = entries.map((entry) =>
    examineEntry(kernel, entry, canMove, {
      collect: `${quote(executable)} gc`,
      remove: `rm ${quote(`${directory}/${entry.file}`)}`,
    })
  );
  const faults = findings.filter((finding) => finding !== undefined);
  const good = entries.length - faults.length;
  if (good === 0 && faults.length > 0) return faults;
  return [
    ok("records", good === 0 ? "none" : `${good} in ${directory} that match the kernel`),
    ...faults,
  ];
}

function examineEntry(
  kernel: NodeKernel,
  found: StoredRecord | UnreadableFile,
  canMove: boolean,
  { collect, remove }: { readonly collect: string; readonly remove: string },
): Finding | undefined {
  if (!isRecord(found)) {
    return warning("records", `${found.fault}; the pod's DEL will use only the deviceID`, remove);
  }
  const stale = (why: string, fix = collect) => warning("records", `${found.file} is stale: ${why}`, fix);
  if (found.bootId !== undefined && found.bootId !== kernel.getBootId()) {
    return stale("it is from before the last boot");
  }
  if (!canMove) return stale("no device can be in a pod without exclusive mode", remove);
  return examineRecord(kernel, found, stale);
}

function examineRecord(
  kernel: NodeKernel,
  record: StoredRecord,
  stale: (why: string) => Finding,
): Finding | undefined {
  const { file, deviceId, netns: recorded } = record;
  const bus = kernel.getBusDevice(deviceId);
  using netns = recorded && openRecorded(kernel, recorded);
  const isGone = recorded !== undefined && !netns;
  const isInPod = bus !== undefined && countAway(bus) > 0;
  if (isGone && !isInPod && !listNamespaces(kernel).some((one) => isSameNetns(one, recorded))) {
    return stale(`${recorded.path} has gone, and its devices are not in a pod`);
  }
  const who = record.attachment ? `container ${record.attachment.containerID}` : "a container";
  if (!bus && !record.softRoce) return lostDevices(file, `${who} had ${deviceId}, which is on no bus`);
  if (!recorded) {
    return isInPod ? undefined : stale(`the devices of ${deviceId} are in the host namespace`);
  }
  if (!netns) {
    return warning(
      "records",
      `${file}: ${recorded.path} has gone, but something keeps the namespace alive ` +
        (isInPod ? `with the devices of ${deviceId} in it` : "without the devices that it had"),
      "end the processes that are in it (lsns -t net)",
    );
  }
  const missing = listMissing(record, netns);
  return missing.length === 0 ? undefined : lostDevices(
    file,
    `${missing.join(", ")} of ${deviceId} not in ${recorded.path}, where ${who} expects it`,
  );
}

/**
 * The recorded devices that a namespace does not have; by index, which a device keeps, if the record has it.
 */
function listMissing(record: AttachmentRecord, netns: Netns): string[] {
  return record.devices.filter((device) => !getRecordedDevice(netns, device)).map(({ podName }) => podName);
}

function lostDevices(file: string, what: string): Finding {
  return problem(
    "records",
    `${file}: ${what}`,
    "delete the pod, so that it is recreated with its RDMA device",
  );
}
