/** The network links of the pod, which a move of an RDMA device must leave alone. */
import type { Call } from "../config/config.ts";
import { CniError, ErrorCode } from "../../cni/error.ts";
import type { Link, Netns } from "../../kernel/kernel.ts";

/** Links of a pod by the names that they were asked for. */
export type PodLinks = ReadonlyMap<string, Link>;

/** Looks up the links that the attachment is about: that of CNI_IFNAME, and those that prevResult has in the pod. */
export function getPodLinks({ environment, config }: Call, pod: Netns): PodLinks {
  const inPod = config.prevResult?.interfaces?.filter(({ sandbox }) => sandbox === environment.netns) ?? [];
  const names = new Set([environment.ifname, ...inPod.flatMap(({ name }) => name || [])]);
  const links = [...names].map((name) => [name, pod.getLink(name)] as const);
  return new Map(links.filter((entry): entry is readonly [string, Link] => entry[1] !== undefined));
}

/**
 * Returns whether a link is an IPoIB interface that a move of a function's RDMA device would remove: the kernel then makes
 * another one (ipoib_remove_one and ipoib_add_one in drivers/infiniband/ulp/ipoib/ipoib_main.c), in the host namespace
 * before Linux 6.17, where the device is since then. An interface of a partition names no parent device, and none does
 * before kernel 5.14. Such a link counts as the function's.
 */
export function isIpoibOf({ isInfiniBand, parentDevice }: Link, deviceId: string): boolean {
  return isInfiniBand && (parentDevice === undefined || parentDevice === deviceId);
}

/**
 * Makes sure that none of a pod's links is an IPoIB interface of a function.
 *
 * @throws {CniError} code 115
 */
export function refuseIpoib(links: PodLinks, deviceId: string, pod: Netns): void {
  const path = JSON.stringify(pod.path);
  for (const [name, link] of links) {
    if (!isIpoibOf(link, deviceId)) continue;
    const owner = link.parentDevice === undefined
      ? "an IPoIB interface (the kernel does not say of which device)"
      : "its IPoIB interface";
    throw new CniError(
      ErrorCode.ipoibInPod,
      `Cannot move the RDMA device of ${JSON.stringify(deviceId)}: ${JSON.stringify(name)} in ` +
        `${path} is ${owner}, and the kernel removes such an interface when its device moves`,
      'use ib-sriov-cni with "rdmaIsolation": true, which moves the RDMA device before the interface, and remove ' +
        '"rdma" from the chain',
    );
  }
}

/**
 * Makes sure that a pod still has its links after RDMA devices were moved into it.
 *
 * @param links the pod's links before that
 * @throws {CniError} code 113 when one is gone, or another has its name
 */
export function requirePodLinks(links: PodLinks, pod: Netns): void {
  const gone = [...links].filter(([name, { index }]) => pod.getLink(name)?.index !== index);
  if (gone.length === 0) return;
  const interfaces = gone.map(([name, { index }]) => `interface ${JSON.stringify(name)} (index ${index})`);
  throw new CniError(
    ErrorCode.deviceMissing,
    `Cannot leave the RDMA device in ${JSON.stringify(pod.path)}: ${interfaces.join(" and ")} vanished ` +
      "from there while it was moved",
    "the kernel or another program removed it; the RDMA device is restored, the interface is not: see the kernel " +
      "log, and delete the pod",
  );
}
