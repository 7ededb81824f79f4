/** The places of the node's RDMA devices: on the host, in pods, or where no record of the plugin explains it. */
import type { RdmaDevice } from "../kernel/kernel.ts";
import type { StoredRecord } from "../plugin/record/state.ts";
import { findNamespace, isRecordedAs } from "./fate.ts";
import type { Inventory, Namespace, PlacedDevice } from "./inventory.ts";

/** All RDMA devices of a node that are in a namespace that can be found. */
export interface Places {
  /** In mode "shared" all of them: they stay there, and every namespace shows them. */
  readonly onHost: readonly RdmaDevice[];
  /** Those in the namespaces of attachments whose records name them. */
  readonly inPods: readonly { readonly record: StoredRecord; readonly devices: readonly PlacedDevice[] }[];
  /** Those in any other namespace. */
  readonly strange: readonly { readonly namespace: Namespace; readonly devices: readonly PlacedDevice[] }[];
}

/** Finds the places of the RDMA devices. */
export function findPlaces(inventory: Inventory): Places {
  const { mode, hostDevices: onHost } = inventory;
  if (mode === "shared") return { onHost, inPods: [], strange: [] };
  const inPods = inventory.records.flatMap((record) => {
    const all = findNamespace(inventory, record)?.devices ?? [];
    const devices = all.filter((device) => record.devices.some((one) => isRecordedAs(one)(device)));
    return devices.length > 0 ? [{ record, devices }] : [];
  });
  const known = inPods.flatMap(({ devices }) => devices);
  const strange = inventory.namespaces.flatMap((namespace) => {
    const devices = namespace.devices.filter((device) => !known.includes(device));
    return devices.length > 0 ? [{ namespace, devices }] : [];
  });
  return { onHost, inPods, strange };
}

/** Returns the devices of whose names there are more than in a list; Linux 7.3 allows a name once in each namespace. */
export function without<Device extends { readonly name: string }>(
  devices: readonly Device[],
  others: readonly { readonly name: string }[],
): Device[] {
  const left = others.map(({ name }) => name);
  return devices.filter(({ name }) => {
    const at = left.indexOf(name);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
