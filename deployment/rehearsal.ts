/** VERSION, ADD and DEL as they go where all is well, played during the build so that V8 compiles what they run. */
import { DEVICE_ID, playNode, POD } from "./played_node.ts";

/** The program, as `scripts.ts` lays it out. */
export type Program = (load: () => never, module: { exports: object }) => object;

const COMMANDS = ["VERSION", "ADD", "DEL"];

const ENVIRONMENT = {
  CNI_CONTAINERID: "container",
  CNI_IFNAME: "net1",
  CNI_NETNS: POD,
  CNI_PATH: "/opt/cni/bin",
};

const NETWORK = JSON.stringify({
  cniVersion: "1.0.0",
  name: "network",
  type: "rdma",
  runtimeConfig: { deviceID: DEVICE_ID },
  prevResult: {
    cniVersion: "1.0.0",
    interfaces: [{ name: "net1", mac: "02:00:00:00:00:01", sandbox: POD, mtu: 9000 }],
    ips: [{ address: "10.0.0.2/24", interface: 0 }],
  },
});

/**
 * Runs the program in this process, whose `Deno` is another one from then on.
 *
 * @param folder a new one, for the files of the node
 * @throws {Error} when a call does not succeed
 */
export async function rehearse(program: Program, folder: string): Promise<void> {
  playNode(folder);
  for (const [name, value] of Object.entries(ENVIRONMENT)) Deno.env.set(name, value);
  for (const command of COMMANDS) {
    Deno.env.set("CNI_COMMAND", command);
    const { code, output } = await run(program);
    if (code !== 0) throw new Error(`Cannot rehearse ${command}: it ended with ${code} and wrote ${output}`);
  }
}

async function run(program: Program): Promise<{ code: number; output: string }> {
  let output = "";
  const writeSync = (bytes: Uint8Array) => {
    output += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  const input = [new TextEncoder().encode(NETWORK)];
  const readSync = (buffer: Uint8Array) => {
    const bytes = input.pop();
    if (bytes) buffer.set(bytes);
    return bytes?.length ?? null;
  };
  Object.assign(Deno.stdin, { readSync });
  for (const stream of [Deno.stdout, Deno.stderr]) Object.assign(stream, { writeSync });
  const code = await new Promise<number>((exit) => {
    Object.assign(Deno, { exit });
    program(loadNothing, { exports: {} });
  });
  return { code, output };
}

function loadNothing(): never {
  throw new Error("A call that succeeds loads no other part of the program");
}
