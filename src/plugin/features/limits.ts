/** Limits of a pod's RDMA resources, which its cgroup has for each device (cgroup-v2.rst, "RDMA"). */
import { CniError, ErrorCode } from "../../cni/error.ts";
import type { Kernel, LimitedDevice, RdmaCgroups, RdmaDevice, RdmaLimits } from "../../kernel/kernel.ts";
import type { Log } from "../../log.ts";
import { messageOf, quoteAll } from "../../sys/errno.ts";
import type { Call } from "../config/config.ts";
import type { Node } from "../node.ts";
import type { AttachmentRecord, OwnRecord, RecordedLimits } from "../record/record.ts";
import type { StoredRecord } from "../record/state.ts";

const RESOURCES = ["hcaHandle", "hcaObject"] as const;

/**
 * Records which cgroup gets the limits, so that DEL and GC find it whenever this process ends. Limits that were recorded
 * and are not wanted any more become "max".
 *
 * @returns the record as it is saved now
 * @throws {CniError} code 103 when the kernel or the pod's cgroup cannot limit RDMA resources, 4 for a wrong K8S_POD_UID
 */
export function recordLimits(
  call: Call,
  { kernel, state }: Node,
  record: OwnRecord,
  wanted: RdmaLimits,
): OwnRecord {
  const cgroup = findPodCgroup(call, requireCgroups(kernel));
  const limited = { ...record, limits: { cgroup, ...unlimited(record.limits ?? {}), ...wanted } };
  state.save(limited);
  return limited;
}

/**
 * Sets the recorded limits for devices. They stay with a device that is moved or renamed, so this is done before the pod
 * gets it.
 *
 * @throws {CniError} code 103 without the rdma controller
 * @throws {SyscallError}
 */
export function setLimits(
  kernel: Kernel,
  { limits }: AttachmentRecord,
  devices: readonly RdmaDevice[],
): void {
  if (!limits) return;
  const cgroups = requireCgroups(kernel);
  for (const device of devices) cgroups.write(limits.cgroup, device, limits);
}

/** Limits that take these away. */
function unlimited(limits: RdmaLimits): RdmaLimits {
  const set = RESOURCES.filter((resource) => limits[resource] !== undefined);
  return Object.fromEntries(set.map((resource) => [resource, "max"]));
}

/**
 * Takes away the limits that the pod's cgroup has for the attachment's devices, wherever they are and whatever they are
 * called. A limit must not outlive its cgroup: the kernel would keep a pointer to it, and crash when the device goes
 * (kernel/cgroup/rdma.c, rdmacg_css_offline).
 *
 * @throws {CniError} code 120 when the kernel refuses
 */
export function removeLimits(node: Node, log: Log, record: StoredRecord): void {
  const { limits } = record;
  if (!limits) return;
  const cgroups = node.kernel.getRdmaCgroups();
  if (!cgroups?.has(limits.cgroup)) {
    return log.info(`Cgroup ${limits.cgroup} is gone, and its limits of RDMA resources with it`);
  }
  for (const device of listLimited(node, cgroups, record, limits)) {
    try {
      cgroups.write(limits.cgroup, device, unlimited(limits));
    } catch (error) {
      // Not an error if the device went meanwhile.
      if (!cgroups.list(limits.cgroup).some(({ name }) => name === device.name)) continue;
      throw new CniError(
        ErrorCode.kernelRefused,
        `Cannot take the limits of RDMA device ${JSON.stringify(device.name)} away: ${messageOf(error)}`,
        "the record stays, so that DEL can be repeated; see the kernel log",
        { cause: error },
      );
    }
  }
}

/**
 * The devices that the attachment has limited. The kernel names them as they are called now. Another attachment of the
 * pod has limits in the same cgroup.
 */
function listLimited(
  { kernel, state }: Node,
  cgroups: RdmaCgroups,
  record: StoredRecord,
  limits: RecordedLimits,
): LimitedDevice[] {
  const { cgroup } = limits;
  const limited = cgroups.list(cgroup).filter((device) =>
    RESOURCES.some((resource) => limits[resource] !== undefined && device[resource] !== "max")
  );
  if (limited.length === 0) return limited;
  const others = state.list().filter((one) => one.file !== record.file && one.limits?.cgroup === cgroup);
  const own = identify(kernel, record);
  const isOthers = others.map((other) => identify(kernel, other));
  return limited.filter((device) => own(device) || !isOthers.some((isOf) => isOf(device)));
}

/** Tells whether a device is one of a record's: by its index where the kernel shows it, else by the names of its function. */
function identify(kernel: Kernel, { deviceId, devices }: StoredRecord): (device: LimitedDevice) => boolean {
  const indexes = devices.map(({ index }) => index);
  const bus = kernel.getBusDevice(deviceId);
  const names = bus
    ? [...bus.rdmaDevices, ...bus.uverbs.map(({ rdmaDevice }) => rdmaDevice)]
    : devices.map(({ podName }) => podName);
  return ({ index, name }) => index === undefined ? names.includes(name) : indexes.includes(index);
}

/** Returns what is not as recorded with the limits of a device, or undefined. */
export function findLimitsFault(
  kernel: Kernel,
  { limits }: AttachmentRecord,
  device: RdmaDevice,
): string | undefined {
  if (!limits) return undefined;
  const found = kernel.getRdmaCgroups()?.read(limits.cgroup, device);
  const wrong = RESOURCES.find((resource) =>
    limits[resource] !== undefined && found?.[resource] !== limits[resource]
  );
  return wrong && `cgroup ${JSON.stringify(limits.cgroup)} limits ${wrong} of RDMA device ` +
      `${JSON.stringify(device.name)} to ${found?.[wrong] ?? "nothing"}, want ${limits[wrong]}`;
}

function requireCgroups(kernel: Kernel): RdmaCgroups {
  const cgroups = kernel.getRdmaCgroups();
  if (cgroups) return cgroups;
  throw cannotLimit(
    "the kernel has no rdma cgroup controller, or it is not mounted",
    "CONFIG_CGROUP_RDMA must be set, and cgroup2, or cgroup with option rdma, be mounted",
  );
}

/**
 * The cgroup of the pod: the one that kubelet made, else that of the process whose namespace CNI_NETNS is.
 *
 * @throws {CniError} code 103 when there is none, or it cannot have limits; 4 for a wrong K8S_POD_UID
 */
function findPodCgroup({ environment }: Call, cgroups: RdmaCgroups): string {
  const uid = environment.args.get("K8S_POD_UID");
  const [, pid] = /^\/proc\/(\d+)\/ns\/net$/.exec(environment.netns) ?? [];
  const ofProcess = pid === undefined ? undefined : cgroups.ofProcess(Number(pid));
  const candidates = [
    ...uid === undefined ? [] : listPodCgroups(uid),
    ...ofProcess === undefined ? [] : [podCgroupOf(ofProcess)],
  ];
  const cgroup = candidates.find((candidate) => cgroups.has(candidate));
  if (cgroup === undefined) {
    const tried = candidates.length === 0
      ? "neither K8S_POD_UID in CNI_ARGS nor a CNI_NETNS of the form /proc/PID/ns/net names a pod"
      : `there is none of ${quoteAll(candidates)}`;
    throw cannotLimit(
      `cannot find the pod's cgroup below ${JSON.stringify(cgroups.mount)}: ${tried}`,
      "kubelet must create cgroups for pods (cgroupsPerQOS), below / or /kubelet (cgroupRoot)",
    );
  }
  if (cgroups.hasLimits(cgroup)) return cgroup;
  throw cannotLimit(
    `the rdma controller is not enabled for cgroup ${JSON.stringify(cgroup)}`,
    `enable it in those above: ${enableCommand(listParents(cgroups.mount, cgroup))}`,
  );
}

/**
 * Lists the places where kubelet may have made the cgroup of a pod: by its driver systemd or cgroupfs, in each QoS class (pkg/kubelet/cm,
 * cgroup_manager_linux.go and pod_container_manager_linux.go), and below cgroupRoot /kubelet, which kind uses.
 *
 * @param uid of a static pod 32 digits, of others a UUID
 * @throws {CniError} code 4 when it is neither
 */
export function listPodCgroups(uid: string): string[] {
  if (!/^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/.test(uid)) {
    const message = `invalid K8S_POD_UID ${JSON.stringify(uid)} in CNI_ARGS: must be a UUID`;
    throw new CniError(ErrorCode.invalidEnvironment, message);
  }
  return listInQosClasses([`pod${uid}`]);
}

/** The cgroups of the QoS classes, or what is in them, wherever kubelet may have made them. */
export function listInQosClasses(below: readonly string[] = []): string[] {
  return [[], ["kubelet"]].flatMap((root) =>
    [[], ["burstable"], ["besteffort"]].flatMap((qos) => {
      const names = [...root, "kubepods", ...qos, ...below];
      return [toSlice(names), `/${names.join("/")}`];
    })
  );
}

/** As systemd names slices: each name starts with that of its parent, and "-" stands for nothing else. */
function toSlice(names: readonly string[]): string {
  const escaped = names.map((name) => name.replaceAll("-", "_"));
  return escaped.map((_, at) => `/${escaped.slice(0, at + 1).join("-")}.slice`).join("");
}

/** The cgroup of the pod that a container's cgroup is in; where kubelet made neither, the container's. */
export function podCgroupOf(cgroup: string): string {
  return /^.*?[/-]pod[0-9a-f_-]{32,36}(?:\.slice)?(?=\/|$)/.exec(cgroup)?.[0] ?? cgroup;
}

/** The directories above a cgroup's, the mount first. */
export function listParents(mount: string, cgroup: string): string[] {
  const names = cgroup.split("/").slice(0, -1);
  return names.map((_, at) => mount + names.slice(0, at + 1).join("/"));
}

/** The command that enables the controller for what is below directories of version 2, given from the top. */
export function enableCommand(directories: readonly string[]): string {
  return `for cgroup in ${directories.join(" ")}; do echo +rdma >"$cgroup/cgroup.subtree_control"; done`;
}

function cannotLimit(reason: string, advice: string): CniError {
  return new CniError(
    ErrorCode.featureUnavailable,
    `Cannot limit RDMA resources: ${reason}`,
    `${advice}; or remove "rdmaLimits" from the network configuration`,
  );
}
