import { fileURLToPath } from "node:url";
import { build, parseBuildOptions } from "../../deployment/build/build.ts";
import { bootNode } from "../../tests/rig/vm/node/boot.ts";
import { prepareNode } from "../../tests/rig/vm/node/prepare.ts";
import { type Cast, paceSteps } from "./cast.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const NODE = fileURLToPath(new URL("node.sh", import.meta.url));
/** People read a step of the demo in this time. */
const STEP_SECONDS = 2;
/** What the demo shows after a VF's device is back. */
const PACKETS = "\x1b[1m== Packets:";
const NODE_LIMIT_MS = 10 * 60_000;

/** The screens of node.sh. */
const SCREENS: Record<string, string> = {
  doctor: "rdma-cni doctor: what is wrong on a node, and how to fix it",
  "vf-mac": "rdma-cni vf-mac list: the VFs with their addresses, and which are ready for RDMA CM",
  pods: "rdma-cni pods: which pod has which RDMA device",
};

/**
 * Runs the demo on a terminal, and keeps what it shows until a VF's device is back on the host. What it says about its
 * preparations goes to standard error.
 *
 * @throws {Error} if the demo fails
 */
export async function recordDemo(): Promise<Cast> {
  const [width, height] = [100, 30];
  const demo = `stty cols ${width} rows ${height}; '${Deno.execPath()}' run -A tests/vm/demo.ts 2>&3`;
  const { code, stdout } = await new Deno.Command("sh", {
    args: ["-c", 'exec 3>&2; exec script --quiet --return --command "$0" /dev/null', demo],
    cwd: PROJECT,
    env: { SHELL: "/bin/sh", TERM: "xterm-256color", NO_COLOR: "" },
    stdin: "null",
    stderr: "inherit",
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (code !== 0) throw new Error(`Cannot record the demo: exit status ${code}\n${text}`);
  const [shown] = text.split(PACKETS);
  return {
    width,
    height,
    title: "The demo of rdma-cni: the RDMA device of a VF moves into a pod and back",
    events: paceSteps(shown!.trim() + "\r\n", STEP_SECONDS),
  };
}

/**
 * Runs node.sh on the simulated node.
 *
 * @returns screens by name
 * @throws {Error} if the node fails
 */
export async function recordNode(): Promise<Map<string, Cast>> {
  const progress = (line: string) => console.error(line);
  const node = await prepareNode(progress, "7.3"); // as the demo
  const options = parseBuildOptions(["--target", node.architecture.target]);
  await build(options);
  const screens = new Map<string, Cast>();
  let screen: Cast | undefined;
  const onLine = (line: string) => {
    const [, name, columns] = /^@@ (\S+) ?(\d*)$/.exec(line) ?? [];
    if (name !== undefined) {
      progress(`node: ${name}`);
      screen = { width: Number(columns), height: 50, title: SCREENS[name]!, events: [] };
      screens.set(name, screen);
    } else {
      screen!.events.push([0, `${line}\n`]);
    }
  };
  const status = await bootNode(node, {
    command: ["/bin/sh", NODE, options.output],
    timeoutMs: NODE_LIMIT_MS,
    onLine,
  });
  if (status !== 0) {
    throw new Error(
      `Cannot record the node: node.sh ended with status ${status}, see ${node.directory}/console.log`,
    );
  }
  return screens;
}
