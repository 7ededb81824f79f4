import protobuf from "protobufjs";
import { names, vfs } from "./functions.ts";
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
const IMAGE = "localhost/busybox:test";

/** Long enough for an emulated processor; kubelet itself waits 2 minutes. */
const CALL_MS = 40_000;

/**
 * What kubelet says to a container runtime, as far as the cases say it: a part of the Container Runtime Interface
 * (k8s.io/cri-api) with its names and numbers, but for the names of messages, which nobody sends.
 */
const PROTO = `
syntax = "proto3";
package runtime.v1;

service RuntimeService {
  rpc RunPodSandbox(SandboxRequest) returns (SandboxId);
  rpc StopPodSandbox(SandboxId) returns (Empty);
  rpc RemovePodSandbox(SandboxId) returns (Empty);
  rpc PodSandboxStatus(StatusRequest) returns (Status);
  rpc ListPodSandbox(Empty) returns (Sandboxes);
  rpc CreateContainer(ContainerRequest) returns (ContainerId);
  rpc StartContainer(ContainerId) returns (Empty);
  rpc ExecSync(ExecRequest) returns (Executed);
}
service ImageService {
  rpc ListImages(Empty) returns (Images);
}

message Empty {}
message SandboxId { string pod_sandbox_id = 1; }
message ContainerId { string container_id = 1; }
message Metadata { string name = 1; string uid = 2; string namespace = 3; }
message SandboxConfig { Metadata metadata = 1; string hostname = 2; }
message SandboxRequest { SandboxConfig config = 1; string runtime_handler = 2; }
message StatusRequest { string pod_sandbox_id = 1; bool verbose = 2; }
message Status { map<string, string> info = 2; }
message Sandbox { string id = 1; }
message Sandboxes { repeated Sandbox items = 1; }
message ImageSpec { string image = 1; }
message ContainerConfig { Metadata metadata = 1; ImageSpec image = 2; }
message ContainerRequest { string pod_sandbox_id = 1; ContainerConfig config = 2; SandboxConfig sandbox_config = 3; }
message ExecRequest { string container_id = 1; repeated string cmd = 2; }
message Executed { bytes stdout = 1; bytes stderr = 2; int32 exit_code = 3; }
message Image { repeated string repo_tags = 2; }
message Images { repeated Image images = 1; }
`;

const { root } = protobuf.parse(PROTO, { keepCase: true });
const SERVICES = ["RuntimeService", "ImageService"].map((name) => root.lookupService(`runtime.v1.${name}`));

/** Bytes before each message of gRPC: 0 for not compressed, then the length in network order. */
const FRAME_HEADER = 5;

interface Pod {
  sandboxId: string;
  containerId: string;
}

/** Debian's containerd, asked as kubelet asks it. */
export class Containerd {
  readonly #http = Deno.createHttpClient({
    proxy: { transport: "unix", path: SOCKET },
    http1: false,
    http2: true,
  });

  private constructor(readonly process: Deno.ChildProcess) {}

  static async start(): Promise<Containerd> {
    const isNew = names(DIRECTORY).length === 0;
    if (isNew) await prepare();
    const process = await startBackground(
      `echo started; exec containerd --config ${CONFIGURATION} >>${LOG} 2>&1`,
      "started",
    );
    const containerd = new Containerd(process);
    const answers = () => containerd.sandboxes().then(() => true, () => false);
    await until("containerd answers", answers, START_MS);
    if (isNew) await containerd.#importImage();
    return containerd;
  }

  /** Makes a gRPC call. It is spoken here, since gRPC's own library gets no answer over a Unix socket in Deno 2.7. */
  // deno-lint-ignore no-explicit-any -- PROTO tells what each call takes and gives
  async #call(name: string, request: object, signal = AbortSignal.timeout(CALL_MS)): Promise<any> {
    const service = SERVICES.find(({ methods }) => name in methods)!;
    const method = service.methods[name]!;
    const message = service.lookupType(method.requestType).encode(request).finish();
    const frame = new Uint8Array(FRAME_HEADER + message.length);
    new DataView(frame.buffer).setUint32(1, message.length);
    frame.set(message, FRAME_HEADER);
    const response = await fetch(`http://runtime/${service.fullName.slice(1)}/${name}`, {
      client: this.#http,
      method: "POST",
      headers: { "content-type": "application/grpc", te: "trailers" },
      body: frame,
      signal,
    });
    const body = new Uint8Array(await response.arrayBuffer());
    // With a message the call succeeded; without one the status, else a trailer, is among the headers.
    if (body.length === 0) {
      throw new Error(`${name}: ${decodeURIComponent(`${response.headers.get("grpc-message")}`)}`);
    }
    const type = service.lookupType(method.responseType);
    return type.toObject(type.decode(body.subarray(FRAME_HEADER)), { defaults: true });
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.status;
  }

  /** Makes a pod's sandbox on the network of a VF. @param signal takes the call back, as kubelet does @returns its id */
  async runSandbox(name: string, vfNumber: number, signal?: AbortSignal): Promise<string> {
    const request = { config: podConfig(name), runtime_handler: handler(vfNumber) };
    return (await this.#call("RunPodSandbox", request, signal)).pod_sandbox_id;
  }

  async runPod(name: string, vfNumber: number): Promise<Pod> {
    const sandboxId = await this.runSandbox(name, vfNumber);
    const { container_id: containerId } = await this.#call("CreateContainer", {
      pod_sandbox_id: sandboxId,
      config: { metadata: { name: "main" }, image: { image: IMAGE } },
      sandbox_config: podConfig(name),
    });
    await this.#call("StartContainer", { container_id: containerId });
    return { sandboxId, containerId };
  }

  /** The RDMA devices that a pod's container sees in its /sys. @throws {Error} if they cannot be listed */
  async listInfiniband({ containerId }: Pod): Promise<string[]> {
    const cmd = ["/bin/busybox", "ls", "/sys/class/infiniband"];
    const { stdout, stderr, exit_code } = await this.#call("ExecSync", { container_id: containerId, cmd });
    const text = new TextDecoder();
    if (exit_code !== 0) {
      throw new Error(`${cmd.join(" ")}: exit status ${exit_code}: ${text.decode(stderr)}`);
    }
    return text.decode(stdout).split("\n").filter((name) => name !== "");
  }

  async netns(sandboxId: string): Promise<string> {
    const { info } = await this.#call("PodSandboxStatus", { pod_sandbox_id: sandboxId, verbose: true });
    const { namespaces } = JSON.parse(info.info).runtimeSpec.linux;
    const { path } = namespaces.find(({ type }: { type: string }) => type === "network");
    return path.split("/").at(-1);
  }

  async sandboxes(): Promise<string[]> {
    return (await this.#call("ListPodSandbox", {})).items.map(({ id }: { id: string }) => id);
  }

  async removeSandbox(sandboxId: string): Promise<void> {
    await this.#call("StopPodSandbox", { pod_sandbox_id: sandboxId });
    await this.#call("RemovePodSandbox", { pod_sandbox_id: sandboxId });
  }

  async #importImage(): Promise<void> {
    await shOk(MAKE_IMAGE);
    await shOk(`ctr --address ${SOCKET} --namespace k8s.io images import ${DIRECTORY}/image.tar`);
    await until("containerd has the image", async () => {
      const { images } = await this.#call("ListImages", {});
      return images.some(({ repo_tags }: { repo_tags: string[] }) => repo_tags.includes(IMAGE));
    });
  }
}

function podConfig(name: string) {
  return { metadata: { name, uid: `uid-${name}`, namespace: "default" }, hostname: name };
}

/** Kubernetes would call it a RuntimeClass; here it chooses the network, and so the VF, of a pod. */
const handler = (vfNumber: number) => `vf${vfNumber}`;

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

/** An image archive whose only file is a static busybox, which sleeps: it does as the pause container of a pod too. */
const MAKE_IMAGE = `
set -e
cd "$(mktemp -d)"
mkdir -p root/bin
cp /usr/bin/busybox root/bin
tar -C root -cf layer.tar .
layer=$(sha256sum layer.tar | cut -d " " -f 1)
echo '{ "architecture": "amd64", "os": "linux", "config": { "Entrypoint": ["/bin/busybox", "sleep", "infinity"] },
  "rootfs": { "type": "layers", "diff_ids": ["sha256:'"$layer"'"] } }' >config.json
echo '[{ "Config": "config.json", "RepoTags": ["${IMAGE}"], "Layers": ["layer.tar"] }]' >manifest.json
tar -cf ${DIRECTORY}/image.tar manifest.json config.json layer.tar
rm -r "$PWD"`;
