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
const ANNOTATE = `give the network the annotation "${RESOURCE_ANNOTATION}"`;

/**
 * Compares what the plugins of a chain are told.
 *
 * @param attachment absent for a configuration in a file: what its runtime adds is not known
 */
export function judgeFunction(
  plugins: readonly Raw[],
  position: number,
  attachment: Attachment | undefined,
): Verdict[] {
  if (attachment?.hasResource) return [];
  const own = plugins[position]!;
  const before = plugins.slice(0, position);
  const told = before.find((plugin) => deviceOf(plugin) !== undefined);
  if (told) return compare(deviceOf(own), deviceOf(told)!, typeOf(told));
  if (deviceOf(own) !== undefined) return [];
  return attachment ? judgeWithoutResource(before) : judgeCapability(own, before);
}

function compare(own: string | undefined, device: string, type: string): Verdict[] {
  if (own === device) return [];
  const mend = `write "deviceID": "${device}" for "rdma"`;
  return own === undefined
    ? [warning(`"${type}" has a "deviceID", "rdma" has none, and looks for it by the interface`, mend)]
    : [problem(`"rdma" has "deviceID" "${own}", but "${type}" moves "${device}"`, mend)];
}

function judgeWithoutResource(before: readonly Raw[]): Verdict[] {
  const [inNeed] = before.map(typeOf).filter((type) => IN_NEED.includes(type));
  return inNeed === undefined
    ? [
      warning(
        `no annotation "${RESOURCE_ANNOTATION}" and no "deviceID": "rdma" looks for the function by the interface`,
        ANNOTATE,
      ),
    ]
    : [
      problem(
        `no annotation "${RESOURCE_ANNOTATION}" and no "deviceID": "${inNeed}" is given no function`,
        ANNOTATE,
      ),
    ];
}

/** Of its own accord a runtime gives a plugin only the capabilities that it declares (CNI 1.1 SPEC.md, section 2). */
function judgeCapability(own: Raw, before: readonly Raw[]): Verdict[] {
  const declaring = before.find(hasCapability);
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
