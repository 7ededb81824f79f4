import { isIpoib, names, rebind, setSimParameter } from "./functions.ts";
import { shOk } from "./sh.ts";

/** An RDMA device with an InfiniBand port, and the interface that the kernel's ib_ipoib has made on it. */
export interface InfiniBandDevice {
  rdmaDevice: string;
  netdev: string;
}

/** Gives a VF one RDMA device, with an InfiniBand port, in place of those it has. The end of the case removes it. */
export async function makeInfiniBand(deviceId: string): Promise<InfiniBandDevice> {
  setSimParameter("no_rdma", true);
  rebind(deviceId);
  await shOk(`modprobe --dirname "$MODULES" ib_ipoib`);
  await shOk(`modprobe --dirname "$MODULES" ib_sim function=${deviceId}`);
  const [rdmaDevice] = names(`/sys/bus/pci/devices/${deviceId}/infiniband`);
  return { rdmaDevice: rdmaDevice!, netdev: ipoibOf(deviceId)! };
}

/** The IPoIB interface of a function in the initial namespace, if there is one. */
export function ipoibOf(deviceId: string): string | undefined {
  return names(`/sys/bus/pci/devices/${deviceId}/net`).find(isIpoib);
}

/** Removes the device that `makeInfiniBand` made, wherever it is. */
export async function removeInfiniBand(): Promise<void> {
  if (names("/sys/module/ib_sim").length === 0) return;
  await shOk(`modprobe --dirname "$MODULES" --remove ib_sim ib_ipoib`);
}
