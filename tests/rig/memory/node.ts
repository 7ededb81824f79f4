import { createPlugin } from "../../../src/plugin/plugin.ts";
import type { AttachmentRecord } from "../../../src/plugin/record/record.ts";
import { isRecord } from "../../../src/plugin/record/state.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { call, CONFIG, type Outcome, type Variables } from "../../support/call.ts";
import { BareNode } from "./bare_node.ts";
import type { Device, Space } from "./kernel.ts";

export const POD = "/run/netns/pod";
export const VF = "0000:3b:00.2";
export const HELD = "/proc/42/ns/net";
/** The record's file of the call that tests make unless they say otherwise. */
export const FILE = "net-container1-net1";

interface CallParts {
  variables?: Variables;
  config?: object;
  writeOutput?: (text: string) => void;
}

/** A node with one virtual function, which has one RDMA device, and a pod. */
export class TestNode extends BareNode {
  readonly device: Device;
  readonly pod: Space;

  constructor(directory = "rdma") {
    super({}, directory);
    this.kernel.addFunction(VF);
    this.device = this.kernel.addDevice(VF, 2);
    this.pod = this.kernel.addNetns(POD);
    this.kernel.held.set("/proc/7/ns/net", this.pod); // its processes
    this.pod.links.set("net1", { index: 2, name: "net1", isInfiniBand: false, vfMacs: new Map() });
  }

  static async added(): Promise<TestNode> {
    const node = new TestNode();
    await node.succeed("ADD");
    return node;
  }

  call(command: string, { variables, config, writeOutput }: CallParts = {}): Promise<Outcome> {
    return call(command, {
      ...(variables ? { variables } : {}),
      config: { ...CONFIG, deviceID: VF, logLevel: "debug", ...config },
      handlers: createPlugin(this),
      ...(writeOutput ? { process: { writeOutput } } : {}),
    });
  }

  async succeed(command: string, parts?: CallParts): Promise<Outcome> {
    const outcome = await this.call(command, parts);
    assertEquals(outcome.code, 0, outcome.lines.join(""));
    return outcome;
  }

  async fail(command: string, code: number, parts?: CallParts): Promise<Outcome> {
    const outcome = await this.call(command, parts);
    assertEquals(outcome.json?.code, code, outcome.lines.join(""));
    return outcome;
  }

  files(): string[] {
    return this.state.exists() ? [...Deno.readDirSync(this.directory)].map(({ name }) => name).sort() : [];
  }

  record(more: Partial<AttachmentRecord> = {}): AttachmentRecord {
    return {
      attachment: { network: "net", containerID: "container1", ifname: "net1" },
      deviceId: VF,
      devices: [{ index: 2, hostName: "mlx5_2", podName: "mlx5_2" }],
      netns: { path: POD, inode: this.pod.inode, ...(this.pod.cookie ? { cookie: this.pod.cookie } : {}) },
      bootId: "boot-1",
      createdAt: 1000,
      ...more,
    };
  }

  recorded(file = "net-container1-net1"): AttachmentRecord {
    const found = this.state.read(file);
    assert(found && isRecord(found), JSON.stringify(found));
    const { file: _, ...record } = found;
    return record;
  }

  /** Writes the record of another container, which claims the same function. @returns its file's name */
  claim(containerID: string, more: Partial<AttachmentRecord> = {}): string {
    const file = `net-${containerID}-net1`;
    this.write(file, this.record({ attachment: { network: "net", containerID, ifname: "net1" }, ...more }));
    return file;
  }

  losePath(): Space {
    this.endPod();
    this.kernel.held.set(HELD, this.pod);
    return this.pod;
  }

  /** The pod's path goes and its processes end; the kernel has yet to take the namespace apart. */
  endPod(): void {
    this.kernel.paths.delete(POD);
    this.kernel.held.clear();
  }

  /** The pod ends without a DEL: the kernel takes its namespace apart, and its devices return to the host. */
  endNetns(): void {
    this.endPod();
    this.kernel.endNetns(this.pod);
  }

  assertForgotten(where = "host"): void {
    assertEquals({ where: this.whereIs(this.device), files: this.files() }, { where, files: [] });
  }

  /** Where a device is, for assertions: "host", or the path of its namespace. */
  whereIs(device: Device): string {
    if (device.space === this.kernel.host) return "host";
    const all = [...this.kernel.paths, ...this.kernel.held];
    return all.find(([, space]) => space === device.space)?.[0] ?? "nowhere";
  }
}
