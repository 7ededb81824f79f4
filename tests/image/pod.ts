// Pods of the manifest, and of operators that run the image in the place of the Go plugin's, run by podman as by a kubelet.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import { parseAll } from "../support/yaml.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";
import { IMAGE } from "./build.ts";
import type { Cases, Engine } from "./engine.ts";

const MANIFEST = `${PROJECT}deployment/kubernetes/daemonset.yaml`;
const CONTAINER = "rdma-cni-pod-installed";

const [DAEMON_SET] = parseAll(Deno.readTextFileSync(MANIFEST)) as [IDaemonSet];

/** The command of its liveness probe, which podman does not run by itself. */
const PROBE = DAEMON_SET.spec!.template.spec!.containers[0]!.livenessProbe!.exec!.command!;

interface Pod {
  manifest: string;
  /** Stands for the node's directory of plugins. */
  directory: string;
}

/** Plays a manifest, the project's unless another is given, and takes its pod down at the end. */
async function withPod(
  engine: Engine,
  work: (pod: Pod) => Promise<void>,
  text = Deno.readTextFileSync(MANIFEST),
): Promise<void> {
  const directory = await Deno.makeTempDir({ dir: engine.directory });
  const pod = { directory, manifest: `${directory}.yaml` };
  assertStringIncludes(text, `image: ${IMAGE}\n`);
  assertStringIncludes(text, "path: /opt/cni/bin\n");
  await Deno.writeTextFile(pod.manifest, text.replace("path: /opt/cni/bin\n", `path: ${directory}\n`));
  try {
    await play(engine, pod);
    await work(pod);
  } finally {
    await engine.run("podman", ["kube", "down", pod.manifest]);
  }
}

/** As a new version is rolled out, a pod that is there makes way first. */
async function play(engine: Engine, { manifest }: Pod): Promise<void> {
  await engine.run("podman", ["kube", "play", "--replace", "--network=host", manifest]);
}

/** A property of a container, by podman's name for it. */
async function ask(engine: Engine, property: string, container = CONTAINER): Promise<string> {
  return (await engine.run("podman", ["inspect", `--format={{.${property}}}`, container])).trim();
}

/** What the liveness probe comes to: exit code, colon, output. */
async function runProbe(engine: Engine): Promise<string> {
  const [program, ...args] = PROBE;
  const by = engine.command("podman", "exec", CONTAINER);
  const { code, stdout, stderr } = await start({ by, program: program!, args });
  // podman warns that storage.conf names no driver
  return `${code}: ${stdout}${stderr.replace(/^time=.* level=warning .*\n/gm, "")}`;
}

const ALIVE = "0: ok: /host/opt/cni/bin has this plugin and its library\n";

/** Waits, at most a minute, until the container has installed what was missing, and catatonit is its first process. */
async function untilWaiting(engine: Engine, container = CONTAINER): Promise<void> {
  let found = "";
  for (let tries = 0; tries < 600; tries++) {
    const pid = await ask(engine, "State.Pid", container); // 0 when it does not run
    found = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "nothing");
    if (found === "catatonit\0-P\0") return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Waited in vain for catatonit, the first process is ${JSON.stringify(found)}`);
}

async function installedVersion(directory: string): Promise<string | undefined> {
  const { stdout } = await start({ program: `${directory}/rdma`, args: ["--version"] });
  return /^rdma-cni (\S+)$/m.exec(stdout)?.[1];
}

export const podCases: Cases = {
  "the manifest's pod installs, installs again when it is restarted since the plugin was overwritten, and ends":
    (
      engine,
    ) =>
      withPod(engine, async ({ directory }) => {
        assertEquals(await installedVersion(directory), VERSION);
        await untilWaiting(engine);
        assertEquals(await runProbe(engine), ALIVE);
        await Deno.copyFile("/usr/bin/true", `${directory}/rdma`); // cp -f writes into the file that is there, too
        const failed = "1: failed: /host/opt/cni/bin/rdma has different content: install again\n";
        assertEquals(await runProbe(engine), failed);
        // As kubelet does then, in the pod's grace period; SIGKILL after it would take longer.
        const begin = performance.now();
        await engine.run("podman", ["restart", "--time=60", CONTAINER]);
        await untilWaiting(engine);
        const seconds = (performance.now() - begin) / 1000;
        assert(seconds < 30, `restarted and installed again in ${seconds} s`);
        assertEquals(await runProbe(engine), ALIVE);
        const { stderr } = await start({ by: engine.command("podman", "logs"), program: CONTAINER });
        assertStringIncludes(stderr, "/host/opt/cni/bin/rdma: replaced\n");
        await engine.run("podman", ["stop", "--time=60", CONTAINER]);
        assertEquals(await ask(engine, "State.ExitCode"), "0"); // 137 would be SIGKILL, after the 60 seconds
        assertEquals(await installedVersion(directory), VERSION);
      }),
};

/** A DaemonSet with the containers of a pod. */
const daemonSet = (name: string, pod: string) => `
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: ${name} }
spec:
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      hostNetwork: true
${pod}
      volumes:
        - name: cnibin
          hostPath:
            path: /opt/cni/bin
        - name: os-release
          hostPath: { path: /etc/os-release, type: File }
`;

/**
 * sriov-network-operator, bindata/manifests/daemon/daemonset.yaml: the init container "rdma-cni" and what it needs of
 * the pod. The image stands for the daemon's too: the container checks the plugin, so it fails without.
 */
const SRIOV_NETWORK_OPERATOR = daemonSet(
  "sriov-network-config-daemon",
  `
      hostPID: true
      initContainers:
        - name: rdma-cni
          image: ${IMAGE}
          args: ["--no-sleep"]
          securityContext: { privileged: true }
          resources: { requests: { cpu: 10m, memory: 10Mi } }
          volumeMounts:
            - { name: cnibin, mountPath: /host/opt/cni/bin }
            - { name: os-release, mountPath: /host/etc/os-release, readOnly: true }
      containers:
        - name: daemon
          image: ${IMAGE}
          args: [install, --check, --wait]
          volumeMounts: [{ name: cnibin, mountPath: /host/opt/cni/bin }]`,
);
const DAEMON = "sriov-network-config-daemon-pod-daemon";

/** The Go plugin's deployment/rdma-cni-daemonset.yaml. */
const GO_PLUGIN = daemonSet(
  "kube-rdma-cni-ds",
  `
      containers:
        - name: kube-rdma-cni
          image: ${IMAGE}
          imagePullPolicy: IfNotPresent
          securityContext: { privileged: true }
          resources: { requests: { cpu: 100m, memory: 50Mi }, limits: { cpu: 100m, memory: 50Mi } }
          volumeMounts: [{ name: cnibin, mountPath: /host/opt/cni/bin }]`,
);
const INSTALLER = "kube-rdma-cni-ds-pod-kube-rdma-cni";

export const operatorCases: Cases = {
  "sriov-network-operator's init container installs, and ends": (engine) =>
    withPod(engine, async (pod) => {
      await untilWaiting(engine, DAEMON);
      assertEquals(await installedVersion(pod.directory), VERSION);
      // As its Go plugin would, when the image is changed there and back.
      await Deno.copyFile("/usr/bin/true", `${pod.directory}/rdma`);
      await play(engine, pod);
      await untilWaiting(engine, DAEMON);
      assertEquals(await installedVersion(pod.directory), VERSION);
    }, SRIOV_NETWORK_OPERATOR),

  "the Go plugin's DaemonSet installs within its limits, 50Mi and 100m, and stays until SIGTERM": (engine) =>
    withPod(engine, async ({ directory }) => {
      await untilWaiting(engine, INSTALLER);
      const host = "HostConfig.Memory}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuPeriod";
      const [memory, quota, period] = (await ask(engine, host, INSTALLER)).split(" ").map(Number);
      assertEquals([memory, quota! / period!], [50 * 1024 ** 2, 0.1]);
      assertEquals(await installedVersion(directory), VERSION);
      await engine.run("podman", ["stop", "--time=60", INSTALLER]);
      assertEquals(await ask(engine, "State.ExitCode", INSTALLER), "0");
    }, GO_PLUGIN),
};
