import { netnsPath } from "./netns.ts";
import { CNI_PATH, COMPILED_PLUGIN, INSTALLED_PLUGIN, LAUNCHER, LIBCNI_RUN } from "./programs.ts";
import { type Outcome, outcome, sh, shOk } from "./sh.ts";

/** A result or an error, as plugins print them. */
interface CniOutput {
  cniVersion?: string;
  interfaces?: { name: string; mac?: string; sandbox?: string }[];
  code?: number;
  msg?: string;
  details?: string;
  [key: string]: unknown;
}

export interface CniOutcome extends Outcome {
  json: CniOutput | undefined;
  /** How long the program ran. */
  ms: number;
}

export interface PluginCall {
  command: string;
  netns?: string;
  ifname?: string;
  containerId?: string;
  /** Standard input: text as it is, anything else as JSON. */
  config?: unknown;
  args?: string;
  /** More variables, or other values; undefined leaves one out. */
  environment?: Record<string, string | undefined>;
  /** A program with arguments that starts the plugin: strace, setpriv. */
  wrapper?: string[];
}

/** What belongs to the plugin when it was installed. */
const OWN_DIRECTORY = INSTALLED_PLUGIN.replace(/rdma$/, ".rdma-cni");

/** Runs the installed plugin as a command. */
export const rdmaCni = (words: string) => sh(`${INSTALLED_PLUGIN} ${words}`);

export const installPlugin = () => Deno.copyFile(COMPILED_PLUGIN, INSTALLED_PLUGIN);

/** Has the launcher start the plugin meanwhile, as "install" leaves it but for the library. */
export async function withLauncher<T>(run: () => Promise<T>): Promise<T> {
  const program = "rdma-cni-0.0.0-0123456789ab";
  await shOk(
    `mkdir -p ${OWN_DIRECTORY} && mv ${INSTALLED_PLUGIN} ${OWN_DIRECTORY}/${program} &&
     ln -s ${program} ${OWN_DIRECTORY}/current && cp ${LAUNCHER} ${INSTALLED_PLUGIN}`,
  );
  try {
    return await run();
  } finally {
    await shOk(`mv ${OWN_DIRECTORY}/${program} ${INSTALLED_PLUGIN} && rm -r ${OWN_DIRECTORY}`);
  }
}

let called = INSTALLED_PLUGIN;
let calls = 0;

export async function callAs<T>(path: string, run: () => Promise<T>): Promise<T> {
  const before = called;
  called = path;
  try {
    return await run();
  } finally {
    called = before;
  }
}

export const countCalls = () => calls;

/** A copy of the plugin that differs by a byte of its ELF header which nobody reads (EI_PAD). */
export async function otherVersion(path: string): Promise<string> {
  await shOk(
    `mkdir -p $(dirname ${path}) && cp ${COMPILED_PLUGIN} ${path} && printf x | dd of=${path} bs=1 seek=12 conv=notrunc`,
  );
  return path;
}

/** Calls the installed plugin as a runtime does. @throws {SyntaxError} if its output is not one JSON text */
export const plugin = (call: PluginCall): Promise<CniOutcome> => cniOutcome(command(call), input(call));

/** Starts such a call and leaves it running, with its output thrown away. */
export async function startPlugin(call: PluginCall): Promise<Deno.ChildProcess> {
  const child = command(call, "null").spawn();
  await new Blob([input(call)]).stream().pipeTo(child.stdin);
  return child;
}

/** Whether the kernel is moving an RDMA device for a process, while `move_delay_ms` makes that take time. */
export function isInMove(pid: number): boolean {
  return Deno.readTextFileSync(`/proc/${pid}/stack`).includes("rdma_dev_change_netns");
}

function command(call: PluginCall, output: "piped" | "null" = "piped"): Deno.Command {
  const { netns, ifname = "net1", containerId = "container1", wrapper = [] } = call;
  const variables = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    CNI_COMMAND: call.command,
    CNI_PATH,
    CNI_CONTAINERID: containerId,
    CNI_IFNAME: ifname,
    CNI_NETNS: netns === undefined || netns.includes("/") ? netns : netnsPath(netns),
    CNI_ARGS: call.args,
    ...call.environment,
  };
  const env: Record<string, string> = JSON.parse(JSON.stringify(variables)); // without those that are undefined
  const [program = called, ...args] = [...wrapper, called];
  calls++;
  const streams = { stdin: "piped", stdout: output, stderr: output } as const;
  return new Deno.Command(program, { args, env, clearEnv: true, ...streams });
}

const input = ({ config = "" }: PluginCall) => typeof config === "string" ? config : JSON.stringify(config);

interface LibcniCall extends Pick<PluginCall, "ifname" | "containerId" | "args"> {
  command: "add" | "check" | "del";
  conflist: object;
  netns: string;
  /** What becomes runtimeConfig of plugins that declare it, as in `{ deviceID: "0000:01:10.0" }`. */
  capabilities?: Record<string, unknown>;
}

/** Runs a chain of plugins, or a single one as libcni itself makes a list of it, through the real libcni. */
export async function libcni(call: LibcniCall): Promise<CniOutcome> {
  const { command, conflist, netns, ifname = "net1", containerId = "container1", capabilities = {}, args } =
    call;
  const { cniVersion, name } = conflist as { cniVersion?: string; name?: string };
  const list = "plugins" in conflist ? conflist : { cniVersion, name, plugins: [conflist] };
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, JSON.stringify(list));
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
