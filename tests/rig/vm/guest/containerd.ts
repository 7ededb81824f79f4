import { CriClient } from "./cri/client.ts";
import { names, vfs } from "./functions.ts";
import { IMAGE, makeImage } from "./oci_image.ts";
import { shOk, startBackground, until } from "./sh.ts";

/** All that containerd keeps; it outlives a case, so that the image is made but once. */
const DIRECTORY = "/run/containerd-test";
const SOCKET = `${DIRECTORY}/containerd.sock`;
const CONFIGURATION = `${DIRECTORY}/config.toml`;
const NETWORKS = `${DIRECTORY}/net.d`;
/** Why it did not do as asked. */
const LOG = `${DIRECTORY}/containerd.log`;
const PLUGINS = "/opt/cni/bin";
const START_MS = 30_000;

/** A pod's sandbox and a container in it, that sleeps. */
export interface Pod {
  sandboxId: string;
  containerId: string;
}

/** Debian's containerd, asked as kubelet asks it. */
export class Containerd {
  readonly #process: Deno.ChildProcess;
  readonly #cri: CriClient;

  private constructor(process: Deno.ChildProcess, cri: CriClient) {
    this.#process = process;
    this.#cri = cri;
  }

  /** Starts it; the pods that it had before it was killed, it has again. At the end of a case it is killed. */
  static async start(): Promise<Containerd> {
    const isNew = names(DIRECTORY).length === 0;
    if (isNew) await prepare();
    const process = await startBackground(
      `echo started; exec containerd --config ${CONFIGURATION} >>${LOG} 2>&1`,
      "started",
    );
    const cri = new CriClient(SOCKET);
    const answers = () => cri.call("ListPodSandbox", {}).then(() => true, () => false);
    await until("containerd answers", answers, START_MS);
    if (isNew) await importImage(cri);
    return new Containerd(process, cri);
  }

  /** Kills it, as a crash does: what it had started lives on. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
  }

  /**
   * Makes a pod's sandbox on the network of a VF.
   *
   * @param signal takes the call back, as kubelet does when it has waited too long
   * @returns its id
   * @throws {Error} with containerd's message, if it cannot be made
   */
  async runSandbox(name: string, vfNumber: number, signal?: AbortSignal): Promise<string> {
    const request = { config: podConfig(name), runtime_handler: handler(vfNumber) };
    return (await this.#cri.call("RunPodSandbox", request, signal)).pod_sandbox_id;
  }

  /** Makes a pod on the network of a VF, with one container. @throws {Error} as `runSandbox` does */
  async runPod(name: string, vfNumber: number): Promise<Pod> {
    const sandboxId = await this.runSandbox(name, vfNumber);
    const { container_id: containerId } = await this.#cri.call("CreateContainer", {
      pod_sandbox_id: sandboxId,
      config: { metadata: { name: "main" }, image: { image: IMAGE } },
      sandbox_config: podConfig(name),
    });
    await this.#cri.call("StartContainer", { container_id: containerId });
    return { sandboxId, containerId };
  }

  /** The RDMA devices that a pod's container sees in its /sys. @throws {Error} if they cannot be listed */
  async listInfiniband({ containerId }: Pod): Promise<string[]> {
    const cmd = ["/bin/busybox", "ls", "/sys/class/infiniband"];
    const { stdout, stderr, exit_code } = await this.#cri.call("ExecSync", {
      container_id: containerId,
      cmd,
    });
    const [output, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    if (exit_code !== 0) throw new Error(`${cmd.join(" ")}: exit status ${exit_code}: ${error}`);
    return output!.split("\n").filter((name) => name !== "");
  }

  /** The name of a sandbox's network namespace. */
  async netns(sandboxId: string): Promise<string> {
    const { info } = await this.#cri.call("PodSandboxStatus", { pod_sandbox_id: sandboxId, verbose: true });
    const { runtimeSpec }: { runtimeSpec: { linux: { namespaces: { type: string; path?: string }[] } } } =
      JSON
        .parse(info.info!);
    const { path } = runtimeSpec.linux.namespaces.find(({ type }) => type === "network")!;
    return path!.split("/").at(-1)!;
  }

  /** Ids of all sandboxes it knows, whatever their state. */
  async sandboxes(): Promise<string[]> {
    return (await this.#cri.call("ListPodSandbox", {})).items.map(({ id }) => id);
  }

  /** Stops and removes a sandbox with its containers, as kubelet does when a pod goes. */
  async removeSandbox(sandboxId: string): Promise<void> {
    await this.#cri.call("StopPodSandbox", { pod_sandbox_id: sandboxId });
    await this.#cri.call("RemovePodSandbox", { pod_sandbox_id: sandboxId });
  }
}

function podConfig(name: string) {
  return { metadata: { name, uid: `uid-${name}`, namespace: "default" }, hostname: name };
}

/** Kubernetes would call it a RuntimeClass; here it chooses the network, and so the VF, of a pod. */
function handler(vfNumber: number): string {
  return `vf${vfNumber}`;
}

async function prepare(): Promise<void> {
  await Deno.mkdir(DIRECTORY);
  await shOk(`ln -s /usr/lib/cni/* ${PLUGINS}`); // it looks in one directory only
  for (const [number, { deviceId }] of vfs().entries()) {
    const directory = `${NETWORKS}/${handler(number)}`;
    await Deno.mkdir(directory, { recursive: true });
    await Deno.writeTextFile(`${directory}/roce.conflist`, JSON.stringify(network(deviceId)));
  }
  await Deno.writeTextFile(CONFIGURATION, configuration(vfs().map((_, number) => handler(number))));
}

function network(deviceId: string) {
  const ipam = { type: "host-local", subnet: "10.56.217.0/24" };
  return {
    cniVersion: "1.0.0",
    name: "roce",
    plugins: [{ type: "host-device", pciBusID: deviceId, ipam }, { type: "rdma", deviceID: deviceId }],
  };
}

function configuration(handlers: string[]): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  const runtimes = handlers.map((name) => `
[${cri}.containerd.runtimes.${name}]
runtime_type = "io.containerd.runc.v2"
cni_conf_dir = "${NETWORKS}/${name}"
`);
  return `
version = 2
root = "${DIRECTORY}/root"
state = "${DIRECTORY}/state"
[grpc]
address = "${SOCKET}"
[${cri}]
sandbox_image = "${IMAGE}"
[${cri}.cni]
bin_dir = "${PLUGINS}"
[${cri}.containerd]
default_runtime_name = "${handlers[0]}"
${runtimes.join("")}`;
}

async function importImage(cri: CriClient): Promise<void> {
  const archive = `${DIRECTORY}/image.tar`;
  await makeImage(archive);
  await shOk(`ctr --address ${SOCKET} --namespace k8s.io images import ${archive}`);
  await until("containerd has the image", async () => {
    const { images } = await cri.call("ListImages", {});
    return images.some(({ repo_tags }) => repo_tags.includes(IMAGE));
  });
}
