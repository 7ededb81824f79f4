/** What sysfs tells of all network functions and RDMA devices of a node. */
import { exists, linkName, list, readText } from "./sysfs.ts";

/** A network controller on the PCI bus. */
export interface NetworkFunction {
  /** Its PCI address. */
  readonly id: string;
  readonly driver?: string;
  /** Its network interfaces in the namespace that sysfs was mounted in. */
  readonly netdevs: readonly string[];
  readonly isVirtual: boolean;
  /** How many virtual functions it could have; 0 without SR-IOV. */
  readonly totalVfs: number;
  readonly enabledVfs: number;
  /** Names of its RDMA devices in the namespace that sysfs was mounted in. */
  readonly rdmaDevices: readonly string[];
}

/** PCI base class 02 (uapi linux/pci_ids.h): Ethernet, InfiniBand and other network controllers. */
const NETWORK_CLASS = "0x02";

/** All network controllers on the PCI bus, by address. */
export function listNetworkFunctions(root = ""): NetworkFunction[] {
  const bus = `${root}/sys/bus/pci/devices`;
  return list(bus).filter((id) => readText(`${bus}/${id}/class`)?.startsWith(NETWORK_CLASS)).map((id) => {
    const folder = `${bus}/${id}`;
    const driver = linkName(`${folder}/driver`);
    return {
      id,
      ...(driver === undefined ? {} : { driver }),
      netdevs: list(`${folder}/net`),
      isVirtual: exists(`${folder}/physfn`),
      totalVfs: Number(readText(`${folder}/sriov_totalvfs`) ?? 0),
      enabledVfs: Number(readText(`${folder}/sriov_numvfs`) ?? 0),
      rdmaDevices: list(`${folder}/infiniband`),
    };
  });
}

/** Names of the RDMA devices that have a uverbs device, in whatever namespace they are. */
export function listVerbsDevices(root = ""): string[] {
  const folder = `${root}/sys/class/infiniband_verbs`;
  const names = list(folder).map((uverbs) => readText(`${folder}/${uverbs}/ibdev`));
  return names.filter((name) => name !== undefined);
}

/** The driver of the device below an RDMA device of the host's namespace; undefined where there is none. */
export function getRdmaDriver(name: string, root = ""): string | undefined {
  return linkName(`${root}/sys/class/infiniband/${name}/device/driver`);
}
