import { netnsPath } from "./netns.ts";
import { CNI_PATH, COMPILED_PLUGIN, INSTALLED_PLUGIN, LAUNCHER, LIBCNI_RUN } from "./programs.ts";
import { type Outcome, outcome, shOk } from "./sh.ts";

/** A result or an error, as plugins print them. */
export interface CniOutput {
  cniVersion?: string;
  interfaces?: { name: string; mac?: string; sandbox?: string }[];
  code?: number;
  msg?: string;
  details?: string;
  [key: string]: unknown;
}

export interface CniOutcome extends Outcome {
  /** Standard output parsed; undefined if it is empty. */
  json: CniOutput | undefined;
  /** How long the program ran. */
  ms: number;
}

export interface PluginCall {
  command: string;
  /** Name or path. */
  netns?: string;
  /** "net1" unless told. */
  ifname?: string;
  /** "container1" unless told. */
  containerId?: string;
  /** Standard input: text as it is, anything else as JSON. */
  config?: unknown;
  /** CNI_ARGS. */
  args?: string;
  /** More variables, or other values; undefined leaves one out. */
  environment?: Record<string, string | undefined>;
  /** A program with arguments that starts the plugin: strace, setpriv. */
  wrapper?: string[];
}

/** What belongs to the plugin when it was installed. */
const OWN_DIRECTORY = INSTALLED_PLUGIN.replace(/rdma$/, ".rdma-cni");

/** Puts a copy of the compiled plugin where a node has it, as people do by hand. Does nothing if none was built. */
export async function installPlugin(): Promise<void> {
  try {
    await Deno.copyFile(COMPILED_PLUGIN, INSTALLED_PLUGIN);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Has the launcher start the plugin meanwhile, as "install" leaves it but for the library. */
export async function withLauncher<T>(run: () => Promise<T>): Promise<T> {
  const program = `${OWN_DIRECTORY}/rdma-cni-0.0.0-0123456789ab`;
  await shOk(
    `mkdir -p ${OWN_DIRECTORY} && mv ${INSTALLED_PLUGIN} ${program} && ln -s ${
      program.split("/").at(-1)
    } ${OWN_DIRECTORY}/current`,
  );
  try {
    await Deno.copyFile(LAUNCHER, INSTALLED_PLUGIN);
    return await run();
  } finally {
    await shOk(`mv ${program} ${INSTALLED_PLUGIN} && rm -r ${OWN_DIRECTORY}`);
  }
}

let called = INSTALLED_PLUGIN;
let calls = 0;

/** Has another file called as the plugin meanwhile. */
export async function callAs<T>(path: string, run: () => Promise<T>): Promise<T> {
  const before = called;
  called = path;
  try {
    return await run();
  } finally {
    called = before;
  }
}

/** How often the plugin was called so far. */
export function countCalls(): number {
  return calls;
}

/** A copy of the plugin that differs by a byte of its ELF header which nobody reads (EI_PAD). */
export async function otherVersion(path: string): Promise<string> {
  await shOk(`mkdir -p ${path.replace(/\/[^/]*$/, "")} && cp ${COMPILED_PLUGIN} ${path}`);
  await shOk(`printf x | dd of=${path} bs=1 seek=12 conv=notrunc`);
  return path;
}

/** Calls the installed plugin as a runtime does. @throws {SyntaxError} if its output is not one JSON text */
export async function plugin(call: PluginCall): Promise<CniOutcome> {
  return await cniOutcome(command(call), input(call));
}

/** Starts the same call and leaves it running, with its input given and its output thrown away. */
export async function startPlugin(call: PluginCall): Promise<Deno.ChildProcess> {
  const child = command(call, "null").spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input(call)));
  await writer.close();
  return child;
}

/** Whether the kernel is moving an RDMA device for a process, while `move_delay_ms` makes that take time. */
export function isInMove(pid: number): boolean {
  return Deno.readTextFileSync(`/proc/${pid}/stack`).includes("rdma_dev_change_netns");
}

function command(call: PluginCall, output: "piped" | "null" = "piped"): Deno.Command {
  const { netns, ifname = "net1", containerId = "container1", wrapper = [] } = call;
  const variables: Record<string, string | undefined> = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    CNI_COMMAND: call.command,
    CNI_PATH,
    CNI_CONTAINERID: containerId,
    CNI_IFNAME: ifname,
    CNI_NETNS: netns === undefined || netns.includes("/") ? netns : netnsPath(netns),
    CNI_ARGS: call.args,
    ...call.environment,
  };
  const env = Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => {
      return entry[1] !== undefined;
    }),
  );
  const [program = called, ...args] = [...wrapper, called];
  calls++;
  return new Deno.Command(program, {
    args,
    env,
    clearEnv: true,
    stdin: "piped",
    stdout: output,
    stderr: output,
  });
}

function input({ config = "" }: PluginCall): string {
  return typeof config === "string" ? config : JSON.stringify(config);
}

export interface LibcniCall {
  command: "add" | "check" | "del";
  /** A list of plugins, as in a .conflist file, or a single plugin. */
  conflist: object;
  netns: string;
  ifname?: string;
  containerId?: string;
  /** What becomes runtimeConfig of plugins that declare it, as in `{ deviceID: "0000:01:10.0" }`. */
  capabilities?: Record<string, unknown>;
  /** CNI_ARGS. */
  args?: string;
}

/** Runs a chain of plugins, or a single one, through the real libcni. */
export async function libcni(call: LibcniCall): Promise<CniOutcome> {
  const { command, conflist, netns, ifname = "net1", containerId = "container1", capabilities = {}, args } =
    call;
  const suffix = "plugins" in conflist ? ".conflist" : ".conf";
  const file = await Deno.makeTempFile({ suffix });
  await Deno.writeTextFile(file, JSON.stringify(conflist));
  const path = netns.includes("/") ? netns : netnsPath(netns);
  return await cniOutcome(
    new Deno.Command(LIBCNI_RUN, {
      args: [command, file, CNI_PATH, containerId, path, ifname, JSON.stringify(capabilities)],
      env: args === undefined ? {} : { CNI_ARGS: args },
    }),
  );
}

async function cniOutcome(command: Deno.Command, stdin?: string): Promise<CniOutcome> {
  const start = performance.now();
  const ended = await outcome(command, stdin);
  const ms = performance.now() - start;
  return { ...ended, json: ended.stdout.trim() === "" ? undefined : JSON.parse(ended.stdout), ms };
}
