import type { Call } from "./config/config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { requirePrevResult } from "../cni/result.ts";
import type { Netns } from "../kernel/kernel.ts";
import { getFunction, resolveDeviceId } from "./device/device.ts";
import { mayGoWithout } from "./errors.ts";
import { findLimitsFault } from "./features/limits.ts";
import { isRecorded } from "./record/namespaces.ts";
import { type Node, requireExclusiveMode } from "./node.ts";
import { DevicePorts, requireReady } from "./features/ready.ts";
import { attachmentOf, type AttachmentRecord, getRecordedDevice } from "./record/record.ts";

/**
 * Makes sure that what ADD did still holds: the record, the mode, the devices in the pod by index and name, and the
 * interfaces that the result names. Where the configuration lets a pod go without a device, that it still has none.
 *
 * @throws {CniError} code 113 when something is missing, 116 when a device must be ready and is not
 */
export function check(call: Call, node: Node): void {
  const { environment, config } = call;
  const result = requirePrevResult(config);
  using pod = node.kernel.openNetns(environment.netns);
  try {
    checkAttachment(call, node, pod);
  } catch (error) {
    if (!mayGoWithout(error, config)) throw error;
  }
  for (const { name, sandbox } of result.interfaces ?? []) {
    if (sandbox === environment.netns && name && !pod.getLink(name)) {
      throw missing(`interface ${JSON.stringify(name)} is not in ${JSON.stringify(pod.path)}`);
    }
  }
}

function checkAttachment(call: Call, node: Node, pod: Netns): void {
  requireExclusiveMode(node.kernel);
  const { record, fault } = node.state.find(attachmentOf(call));
  if (fault) throw missing(fault);
  if (record) {
    checkDevices(node, record, pod);
    using ports = new DevicePorts();
    return requireReady(call, node.kernel, pod, record, ports);
  }
  // An ADD that found no RDMA device left no record.
  if (call.config.optional && call.config.softRoce) return;
  if (call.config.optional) {
    getFunction(node, resolveDeviceId(call, node.kernel, () => pod.getLink(call.environment.ifname)));
  }
  const path = `${node.state.directory}/${node.state.fileOf(attachmentOf(call))}`;
  throw missing(`there is no record ${JSON.stringify(path)}`);
}

function checkDevices({ kernel }: Node, record: AttachmentRecord, pod: Netns): void {
  if (record.netns && !isRecorded(pod, record.netns)) {
    throw missing(
      `the devices were moved to another namespace than the one that ${JSON.stringify(pod.path)} is now`,
    );
  }
  for (const recorded of record.devices) {
    const { index, podName, hostName } = recorded;
    const device = getRecordedDevice(pod, recorded);
    const more = [
      ...index === undefined ? [] : [`index ${index}`],
      ...podName === hostName ? [] : [`${JSON.stringify(hostName)} on the host`],
    ];
    const wanted = `RDMA device ${JSON.stringify(podName)}${more.length > 0 ? ` (${more.join(", ")})` : ""}`;
    if (!device) {
      const names = pod.listRdmaDevices().map(({ name }) => name).join(", ") || "none";
      throw missing(`${wanted} is not in ${JSON.stringify(pod.path)}, which has: ${names}`);
    }
    if (device.name !== podName) throw missing(`${wanted} is called ${JSON.stringify(device.name)} by now`);
    const fault = findLimitsFault(kernel, record, device);
    if (fault) throw missing(fault);
  }
}

function missing(what: string): CniError {
  return new CniError(
    ErrorCode.deviceMissing,
    `Check failed: ${what}`,
    "delete the pod, so that a new one gets its RDMA device",
  );
}
