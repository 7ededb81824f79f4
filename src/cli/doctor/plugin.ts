/** The installed plugin, and thick Multus, which may run it. */
import { quote } from "../../node/fate.ts";
import { ok, problem, type Verdict, warning } from "../report.ts";
import { exists, readText } from "../../kernel/sysfs.ts";
import { VERSION } from "../../version.ts";
import { currentIn, pluginIn } from "../install/layout.ts";
import { recognize } from "../install/uninstall.ts";
import type { ExaminedNode } from "./finding.ts";
import { findCniBinDir, findProcesses } from "./runtime.ts";

const TIME_LIMIT_MS = 20_000;
const OUTPUT_LIMIT = 4096;

/** Name of thick Multus' process, which runs plugins in its own container. Thin Multus has none. */
const DAEMON = "multus-daemon";

/** Something that puts the Go plugin on nodes, at each of its starts. */
interface Operator {
  readonly name: string;
  /** A process that it runs on every node, by the 15 bytes of its name that the kernel keeps. */
  readonly process: string;
  /** The way to keep it from doing so again. */
  readonly remedy: string;
}

const OPERATORS: readonly Operator[] = [
  {
    name: "sriov-network-operator",
    process: "sriov-network-c",
    remedy: "name this plugin's image in its RDMA_CNI_IMAGE (Helm: images.rdmaCni)",
  },
  {
    name: "Spiderpool",
    process: "spiderpool-agen",
    remedy: "keep it from installing the plugin (Helm: plugins.installRdmaCNI=false)",
  },
];

const MIB = 1024 * 1024;

/** The daemon of Multus 4.3 and the plugin's executable in the page cache. */
const DAEMON_MIB = 64;
/** A call of the plugin. */
const CALL_MIB = 20;
/** Seven pods at once had a peak of 245 MB, measured with Multus 4.3. */
const WANTED_MIB = 256;

/** CPU time of a call: it takes 30 ms without a quota, 39 under 500m, 102 under 200m, 293 under 100m. */
const CALL_CPU_MS = 25;
const WANTED_MILLICPU = 500;

/** Changes the limits in Multus' own manifest. */
const PATCH = "kubectl -n kube-system patch daemonset kube-multus-ds --patch " +
  `'{"spec":{"template":{"spec":{"containers":[{"name":"kube-multus",` +
  `"resources":{"limits":{"memory":"${WANTED_MIB}Mi","cpu":null}}}]}}}}'`;

/** The answer of a program to `--version`. "silent": not within the time limit. */
export type Answer =
  | { readonly kind: "absent" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "silent" }
  | { readonly kind: "text"; readonly text: string };

/** The installed plugin, and the programs that have to do with it. */
export interface Installed {
  /** The plugin's path. */
  readonly path: string;
  readonly kind: ReturnType<typeof recognize>;
  readonly hasThickMultus: boolean;
  /** This plugin was installed before, and what belongs to it still is. */
  readonly isOverwritten: boolean;
  /** Runs on this node. */
  readonly operator: Operator | undefined;
}

/** Limits of a container. */
interface Limits {
  /** Undefined without a limit. */
  readonly memoryBytes: number | undefined;
  /** All its processes are killed when memory is exhausted. */
  readonly killsAll: boolean;
  /** Thousandths of a CPU; undefined without a quota. */
  readonly millicpu: number | undefined;
}

/** Examines whether the plugin that runtimes run is this version, and has its launcher. */
export async function examineInstalledPlugin(node: ExaminedNode): Promise<Verdict[]> {
  const { root, executable } = node;
  const directory = findCniBinDir(node);
  const path = pluginIn(directory);
  const answer = await askVersion(`${root}${path}`, AbortSignal.timeout(TIME_LIMIT_MS));
  const installed = {
    path,
    kind: answer.kind === "text" ? recognize(`${root}${path}`) : "other",
    hasThickMultus: findProcesses(root, DAEMON).length > 0,
    isOverwritten: exists(currentIn(`${root}${directory}`)),
    operator: OPERATORS.find(({ process }) => findProcesses(root, process).length > 0),
  } as const;
  return [judgeAnswer(answer, `${quote(executable)} install --cni-bin-dir ${quote(directory)}`, installed)];
}

/**
 * Judges the answer of the installed plugin.
 *
 * @param install the command that installs this program
 */
export function judgeAnswer(answer: Answer, install: string, installed: Installed): Verdict {
  const { path, kind, hasThickMultus } = installed;
  switch (answer.kind) {
    case "absent":
      return problem(`${path} is not there: runtimes find no plugin "rdma"`, install);
    case "failed":
      return problem(`${path} cannot be run: ${answer.reason}`, install);
    case "silent":
      return problem(`${path} does not answer --version within ${TIME_LIMIT_MS / 1000} s`, install);
  }
  const [, version] = /^rdma-cni (\d\S*)$/m.exec(answer.text) ?? [];
  if (version === VERSION && kind === "launcher") return ok(`${path} is version ${version}`);
  if (version === VERSION) {
    const text =
      `${path} is version ${version} without launcher: thick Multus 4.1.0 and newer cannot start it`;
    return (hasThickMultus ? problem : warning)(text, install);
  }
  if (version !== undefined) {
    return warning(`${path} is version ${version}, this program is ${VERSION}`, install);
  }
  if (kind === "launcher") {
    return problem(`${path} cannot start the program: ${describeLauncherError(answer.text)}`, install);
  }
  return isGoPlugin(answer.text)
    ? judgeGoPlugin(answer.text, install, installed)
    : warning(`${path} is another program: it answers ${JSON.stringify(firstLine(answer.text))}`, install);
}

function judgeGoPlugin(
  answer: string,
  install: string,
  { path, isOverwritten, operator }: Installed,
): Verdict {
  const [, version] = /\bversion: ?([^\s,]+)/.exec(answer) ?? [];
  const what = `${path} is the Go plugin${version === undefined ? "" : ` ${version}`}`;
  const where = isOverwritten ? "in the place of this one, which was installed" : "not this one";
  return operator
    ? warning(
      `${what}, ${where}; ${operator.name}, which runs here, probably put it there`,
      `${install} # and ${operator.remedy}`,
    )
    : warning(`${what}, ${where}; its DaemonSet kube-rdma-cni-ds probably put it there`, install);
}

/** Runs a program with `--version`, and kills it when the time is up. */
export async function askVersion(path: string, timeUp: AbortSignal): Promise<Answer> {
  let child: Deno.ChildProcess;
  try {
    const piped = { stdin: "null", stdout: "piped", stderr: "piped" } as const;
    child = new Deno.Command(path, { args: ["--version"], clearEnv: true, ...piped }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "absent" };
    return { kind: "failed", reason: (error as Error).message };
  }
  timeUp.addEventListener("abort", () => kill(child));
  const [stdout, stderr] = await Promise.all([
    readOutput(child.stdout, timeUp),
    readOutput(child.stderr, timeUp),
    child.status,
  ]);
  return timeUp.aborted ? { kind: "silent" } : { kind: "text", text: stdout + stderr };
}

/** Examines whether thick Multus has enough memory and CPU time for the plugins that it runs. */
export function examineMultus(root: string): Verdict[] {
  const [pid] = findProcesses(root, DAEMON);
  if (pid === undefined) return [ok("no thick Multus, in whose container plugins would run")];
  const limits = readLimits(root, pid);
  if (!limits) {
    const text = `the limits of thick Multus (process ${pid}) cannot be seen from here`;
    return [warning(text, "# run this on the node itself")];
  }
  return [judgeMemory(limits), judgeCpu(limits)];
}

/** Early releases have no options and complain that CNI_COMMAND is missing, as every plugin does. */
function isGoPlugin(text: string): boolean {
  return /^rdma-cni (cni )?version:/m.test(text) || /CNI_COMMAND/.test(text);
}

/** The launcher's error is that of a CNI plugin. */
function describeLauncherError(text: string): string {
  const [, message] = /"msg":"((?:[^"\\]|\\.)*)"/.exec(text) ?? [];
  return message === undefined ? firstLine(text) : JSON.parse(`"${message}"`);
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!.slice(0, 200);
}

/** Reads to the end, unless the time is up, since another process may keep the pipe open, or it is too much. */
async function readOutput(stream: ReadableStream<Uint8Array>, timeUp: AbortSignal): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const write = (bytes: Uint8Array) => {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > OUTPUT_LIMIT) throw new RangeError("too much");
  };
  await stream.pipeTo(new WritableStream({ write }), { signal: timeUp }).catch(() => {});
  return text;
}

/** It may already have ended, while another process keeps its output open. */
function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

function judgeMemory({ memoryBytes, killsAll }: Limits): Verdict {
  if (memoryBytes === undefined) return ok("thick Multus has no memory limit");
  const mib = Math.floor(memoryBytes / MIB);
  const pods = Math.max(0, Math.floor((mib - DAEMON_MIB) / CALL_MIB));
  const limit = `thick Multus has a memory limit of ${mib} MiB`;
  const meaning = pods === 0
    ? "too little for one pod"
    : `enough for ${pods} pod${pods === 1 ? "" : "s"} at once`;
  if (mib >= WANTED_MIB) return ok(`${limit}, ${meaning}`);
  const short = `${limit}, want ${WANTED_MIB}: ${meaning}, since plugins run in it, ${CALL_MIB} MiB each`;
  return killsAll
    ? problem(`${short}, and one too many kills the daemon and all of them (memory.oom.group)`, PATCH)
    : warning(short, PATCH);
}

function judgeCpu({ millicpu }: Limits): Verdict {
  if (millicpu === undefined) return ok("thick Multus has no CPU limit");
  const limit = `thick Multus has a CPU limit of ${millicpu}m`;
  const pods = (millicpu / CALL_CPU_MS).toFixed(millicpu < 10 * CALL_CPU_MS ? 1 : 0);
  const meaning = `enough for ${pods} pods a second`;
  if (millicpu >= WANTED_MILLICPU) return ok(`${limit}, ${meaning}`);
  const short = `${limit}, want ${WANTED_MILLICPU}m or none: ${meaning}`;
  return warning(`${short}, and a call takes up to ten times as long`, PATCH);
}

/** The limits of the cgroup of a process; undefined when it is not visible. */
function readLimits(root: string, pid: number): Limits | undefined {
  const lines = (readText(`${root}/proc/${pid}/cgroup`) ?? "").matchAll(/^\d+:([^:]*):(.*)$/gm);
  const paths = new Map(
    Array.from(lines, ([, names, path]) => names!.split(",").map((name) => [name, path!] as const)).flat(),
  );
  const directory = `${root}/sys/fs/cgroup`;
  return paths.has("memory")
    ? readVersion1(`${directory}/memory${paths.get("memory")}`, `${directory}/cpu${paths.get("cpu")}`)
    : readVersion2(`${directory}${paths.get("")}`);
}

/** Documentation/admin-guide/cgroup-v2.rst. */
function readVersion2(directory: string): Limits | undefined {
  const memory = readText(`${directory}/memory.max`);
  if (memory === undefined) return undefined;
  const [quota, period] = (readText(`${directory}/cpu.max`) ?? "max 100000").split(" ");
  return {
    memoryBytes: memory === "max" ? undefined : Number(memory),
    killsAll: readText(`${directory}/memory.oom.group`) === "1",
    millicpu: quota === "max" ? undefined : Math.round(1000 * Number(quota) / Number(period)),
  };
}

/** Documentation/admin-guide/cgroup-v1/memory.rst ("no limit" is the largest number of pages); sched-bwc.rst. */
function readVersion1(memory: string, cpu: string): Limits | undefined {
  const bytes = Number(readText(`${memory}/memory.limit_in_bytes`));
  if (Number.isNaN(bytes)) return undefined;
  const quota = Number(readText(`${cpu}/cpu.cfs_quota_us`) ?? "-1");
  const period = Number(readText(`${cpu}/cpu.cfs_period_us`) ?? "100000");
  return {
    memoryBytes: bytes > Number.MAX_SAFE_INTEGER ? undefined : bytes,
    killsAll: false,
    millicpu: quota < 0 ? undefined : Math.round(1000 * quota / period),
  };
}
