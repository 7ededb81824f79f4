import type { RdmaSelection } from "../cni/config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { RdmaDevice } from "../kernel/kernel.ts";
import type { AcquiredDevices } from "./acquire.ts";

/**
 * Those of a function's RDMA devices that the configuration wants. Numbers count them from 1 in the order in which the
 * driver made them; a driver that makes a device for each port does so in the order of the ports.
 *
 * @throws {CniError} code 110 when one that is wanted is not there
 */
export function selectDevices(
  { atHome, inPod }: AcquiredDevices,
  wanted: RdmaSelection,
  deviceId: string,
): AcquiredDevices {
  if (wanted === "all") return { atHome, inPod };
  const all = [...atHome, ...inPod].sort((a, b) => a.index - b.index);
  const chosen = (wanted === "first" ? [1] : wanted).map((one) => {
    const device = typeof one === "number" ? all[one - 1] : all.find(({ name }) => name === one);
    return device ?? absent(one, all, deviceId);
  });
  const isChosen = (device: RdmaDevice) => chosen.includes(device);
  return { atHome: atHome.filter(isChosen), inPod: inPod.filter(isChosen) };
}

function absent(wanted: string | number, all: readonly RdmaDevice[], deviceId: string): never {
  throw new CniError(
    ErrorCode.deviceNotFound,
    `Cannot find RDMA device ${JSON.stringify(wanted)} among those of ${JSON.stringify(deviceId)}: it has ${
      all.map(({ name }, at) => `${at + 1}: ${name}`).join(", ")
    }`,
    'correct "rdmaDevices" in the network configuration',
  );
}
