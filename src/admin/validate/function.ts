/** Whether anything tells the plugin which function is the pod's. */
import { problem, type Verdict, warning } from "../verdict.ts";
import { typeOf } from "./chain.ts";
import { isObject, type Raw } from "./raw.ts";

/** What Multus knows of a network beside its configuration. */
export interface Attachment {
  /**
   * It names a resource in an annotation. Then Multus gives the device that the pod has of it to every plugin of the
   * chain, as "deviceID" and as the capability of that name (Multus 4, pkg/types/conf.go, addDeviceIDInConfList).
   */
  readonly hasResource: boolean;
}

export const RESOURCE_ANNOTATION = "k8s.v1.cni.cncf.io/resourceName";

/** Plugins that move no function without being told which. */
const IN_NEED = ["sriov", "ib-sriov", "accelerated-bridge", "ovs"];

/**
 * Compares what the plugin is told with what the others in its chain are told.
 *
 * @param attachment absent for a configuration in a file: what its runtime adds is not known
 */
export function judgeFunction(
  own: Raw,
  others: readonly Raw[],
  attachment: Attachment | undefined,
): Verdict[] {
  if (attachment?.hasResource) return [];
  const told = others.find((plugin) => deviceOf(plugin) !== undefined);
  if (told) return compare(deviceOf(own), deviceOf(told)!, typeOf(told));
  if (deviceOf(own) !== undefined) return [];
  return attachment ? judgeWithoutResource(others) : judgeCapability(own, others);
}

function compare(own: string | undefined, device: string, type: string): Verdict[] {
  if (own === device) return [];
  const fix = `write "deviceID": "${device}" for "rdma"`;
  return own === undefined
    ? [warning(`"${type}" has a "deviceID", "rdma" has none, and looks for it by the interface`, fix)]
    : [problem(`"rdma" has "deviceID" "${own}", but "${type}" moves "${device}"`, fix)];
}

function judgeWithoutResource(others: readonly Raw[]): Verdict[] {
  const nothing = 'it has neither a resource nor a "deviceID"';
  const fix = `give the network the annotation "${RESOURCE_ANNOTATION}"`;
  const inNeed = others.map(typeOf).find((type) => IN_NEED.includes(type));
  return inNeed === undefined
    ? [warning(`${nothing}: "rdma" looks for its function by the interface`, fix)]
    : [problem(`${nothing}: "${inNeed}" is given no function`, fix)];
}

/** Of its own accord a runtime gives a plugin only the capabilities that it declares (CNI 1.1 SPEC.md, section 2). */
function judgeCapability(own: Raw, others: readonly Raw[]): Verdict[] {
  const declaring = others.find(hasCapability);
  return !declaring || hasCapability(own) ? [] : [warning(
    `"${typeOf(declaring)}" is given the function by the capability "deviceID", "rdma" is not`,
    'write "capabilities": { "deviceID": true } for "rdma"',
  )];
}

function deviceOf({ deviceID }: Raw): string | undefined {
  return typeof deviceID === "string" && deviceID !== "" ? deviceID : undefined;
}

function hasCapability({ capabilities }: Raw): boolean {
  return isObject(capabilities) && capabilities["deviceID"] === true;
}
