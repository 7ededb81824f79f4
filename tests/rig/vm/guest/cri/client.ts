import protobuf from "protobufjs";
import { CRI_PROTO } from "../programs.ts";

/** Long enough for an emulated processor; kubelet itself waits 2 minutes. */
const TIMEOUT_MS = 40_000;

/** A pod's sandbox as kubelet describes it. */
export interface PodSandboxConfig {
  metadata: { name: string; uid: string; namespace: string };
  hostname: string;
}

/** Request and response of each call that the cases make; see runtime.proto. */
interface Calls {
  RunPodSandbox: [{ config: PodSandboxConfig; runtime_handler: string }, { pod_sandbox_id: string }];
  StopPodSandbox: [{ pod_sandbox_id: string }, unknown];
  RemovePodSandbox: [{ pod_sandbox_id: string }, unknown];
  PodSandboxStatus: [{ pod_sandbox_id: string; verbose: boolean }, { info: Record<string, string> }];
  ListPodSandbox: [Record<never, never>, { items: { id: string }[] }];
  CreateContainer: [
    {
      pod_sandbox_id: string;
      config: { metadata: { name: string }; image: { image: string } };
      sandbox_config: PodSandboxConfig;
    },
    { container_id: string },
  ];
  StartContainer: [{ container_id: string }, unknown];
  ExecSync: [
    { container_id: string; cmd: string[] },
    { stdout: Uint8Array; stderr: Uint8Array; exit_code: number },
  ];
  ListImages: [Record<never, never>, { images: { repo_tags: string[] }[] }];
}

/**
 * Kubelet's side of the Container Runtime Interface: gRPC over a Unix socket. It is spoken here by fetch, since gRPC's
 * own library gets no answer over a Unix socket in Deno 2.7.
 */
export class CriClient {
  readonly #http: Deno.HttpClient;
  readonly #services: protobuf.Service[];

  /** @param socket path of the runtime's socket */
  constructor(socket: string) {
    this.#http = Deno.createHttpClient({
      proxy: { transport: "unix", path: socket },
      http1: false,
      http2: true,
    });
    const { root } = protobuf.parse(Deno.readTextFileSync(CRI_PROTO), { keepCase: true });
    this.#services = ["RuntimeService", "ImageService"].map((name) =>
      root.lookupService(`runtime.v1.${name}`)
    );
  }

  /** @throws {Error} with the runtime's message, if it refuses; {TypeError} if it cannot be reached */
  async call<Name extends keyof Calls>(
    name: Name,
    request: Calls[Name][0],
    signal: AbortSignal = AbortSignal.timeout(TIMEOUT_MS),
  ): Promise<Calls[Name][1]> {
    const service = this.#services.find(({ methods }) => name in methods)!;
    const method = service.methods[name]!;
    const response = await fetch(`http://runtime/${service.fullName.slice(1)}/${name}`, {
      client: this.#http,
      method: "POST",
      headers: { "content-type": "application/grpc", te: "trailers" },
      body: frame(service.lookupType(method.requestType).encode(request).finish()),
      signal,
    });
    const body = new Uint8Array(await response.arrayBuffer());
    // With a message the call succeeded; without one the status, else a trailer, is among the headers.
    if (body.length === 0) {
      throw new Error(`${name}: ${decodeURIComponent(`${response.headers.get("grpc-message")}`)}`);
    }
    const type = service.lookupType(method.responseType);
    return type.toObject(type.decode(body.subarray(FRAME_HEADER)), { defaults: true }) as Calls[Name][1];
  }
}

/** Bytes before each message of gRPC: 0 for not compressed, then the length in network order. */
const FRAME_HEADER = 5;

function frame(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEADER + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, FRAME_HEADER);
  return bytes;
}
