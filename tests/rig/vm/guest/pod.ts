import { parseAll } from "../../../support/yaml.ts";
import { COMPILED_PLUGIN, PROJECT } from "./programs.ts";
import { type Outcome, sh, shOk, startBackground } from "./sh.ts";

export interface Pod {
  hostNetwork?: boolean;
  hostPID?: boolean;
  initContainers?: Container[];
  containers: Container[];
  volumes?: { name: string; hostPath: { path: string; type: string } }[];
}

export interface Container {
  name: string;
  /** Takes the place of the image's entry point. */
  command?: string[];
  args: string[];
  securityContext: { capabilities?: { add?: string[] }; privileged?: boolean };
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
  livenessProbe?: { exec: { command: string[] } };
  readinessProbe?: { exec: { command: string[] } };
}

/** The pod of the DaemonSet that kustomize builds with these components. */
export async function daemonSetPod(components: readonly string[]): Promise<Pod> {
  const paths = components.map((name) => `deployment/components/${name}`);
  const yaml = await shOk(
    `directory=$(mktemp -d) && ln -s '${PROJECT}/deployment/kubernetes' "$directory/deployment" &&
     echo '{ resources: [deployment], components: [${paths.join(", ")}] }' >"$directory/kustomization.yaml" &&
     kustomize build "$directory" && rm -r "$directory"`,
  );
  const [daemonSet] = parseAll(yaml) as { spec: { template: { spec: Pod } } }[];
  return daemonSet!.spec.template.spec;
}

export function containerOf({ initContainers = [], containers }: Pod, name: string): Container {
  const found = [...initContainers, ...containers].find((one) => one.name === name);
  if (!found) throw new Error(`The pod has no container ${name}`);
  return found;
}

/**
 * Runs a container as a runtime does: in namespaces of its own, in a read-only root with the executable as
 * entrypoint, /sys read-only, the volumes where they are wanted, and no capability but those it asks for, or all if it
 * is privileged. Seccomp and AppArmor are missing here.
 */
export const runContainer = (pod: Pod, container: Container) => sh(formatCommand(pod, container));

/** Starts a container that goes on running, and waits until it has printed something. */
export function startContainer(pod: Pod, container: Container, ready: string): Promise<Deno.ChildProcess> {
  return startBackground(`exec ${formatCommand(pod, container)} 2>&1`, ready);
}

function formatCommand(pod: Pod, container: Container): string {
  const { command = ["/rdma-cni", "entrypoint"], args, securityContext, volumeMounts = [] } = container;
  const mounts = volumeMounts.flatMap(({ name, mountPath, readOnly = false }) => {
    const { path, type } = pod.volumes!.find((volume) => volume.name === name)!.hostPath;
    return [
      ...(type === "DirectoryOrCreate" ? [`mkdir -p ${path}`] : []),
      `[ -d .${mountPath} ] || mkdir -p .${mountPath}`,
      `mount --rbind ${path} .${mountPath}`,
      ...(readOnly ? [`mount -o remount,bind,ro .${mountPath}`] : []),
    ];
  });
  const capabilities = (securityContext.capabilities?.add ?? []).map((name) => `,+${name.toLowerCase()}`);
  const confine = securityContext.privileged
    ? ""
    : `setpriv --no-new-privs --bounding-set=-all${capabilities.join("")} `;
  const script = [
    "mkdir -p /run/image && mount -t tmpfs image /run/image && cd /run/image",
    "mkdir proc sys dev usr && ln -s usr/bin usr/lib usr/lib64 usr/sbin . && mount --bind /usr usr",
    "touch dev/null && mount --bind /dev/null dev/null",
    `touch rdma-cni && mount --bind '${COMPILED_PLUGIN}' rdma-cni`,
    "mount -t proc -o ro proc proc && mount -t sysfs -o ro sysfs sys",
    ...mounts,
    "mount -o remount,bind,ro /run/image",
    `exec chroot . ${confine}${[...command, ...args].join(" ")}`,
  ];
  const own = [...pod.hostPID ? [] : ["--pid"], ...pod.hostNetwork ? [] : ["--net"]];
  const quoted = script.join("\n").replaceAll("'", "'\\''");
  return `unshare --mount --fork --ipc ${own.join(" ")} sh -euc '${quoted}'`;
}

/** Runs a pod's init containers as kubelet does: one after the other, until one fails. Returns how each ended. */
export async function runInitContainers(pod: Pod): Promise<(Outcome & { name: string })[]> {
  const outcomes = [];
  for (const container of pod.initContainers ?? []) {
    outcomes.push({ name: container.name, ...await runContainer(pod, container) });
    if (outcomes.at(-1)!.code !== 0) break;
  }
  return outcomes;
}
