import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Node } from "./prepare.ts";

/**
 * With all but "host" the guest's clock goes on by a nanosecond with each instruction, however long the emulator takes
 * for it; processors take turns. While they have nothing to do, it follows the host's time ("instructions"), or goes on
 * to the next timer ("instructions, no idle time"), also when the guest waits for the host.
 */
export type Clock = "host" | "instructions" | "instructions, no idle time";

interface Boot {
  /** Program and arguments. Paths are the host's, see {@linkcode inGuest}. No quotation marks. */
  command: string[];
  kernelArguments?: string[];
  memoryMiB?: number;
  processors?: number;
  clock?: Clock;
  /** How long the program may run; the machine itself gets a minute more to start and end. */
  timeoutMs: number;
  onLine: (line: string) => void;
}

/** QEMU itself crashed, which says nothing about what ran in it. */
export class EmulatorCrash extends Error {}

const PROJECT = fileURLToPath(new URL("../../../..", import.meta.url));
const INIT = fileURLToPath(new URL("init.sh", import.meta.url));
const MACHINE_MS = 60_000;

/** Starts virtiofsd with the project in /mnt: the guest has a /tmp and /run of its own, and /mnt may be where it is. */
const SHARE = `
exec 3<"$1"
mount -t tmpfs tmpfs "$2/mnt"
mkdir "$2/mnt/project"
mount --no-canonicalize --rbind /proc/self/fd/3 "$2/mnt/project"
shift 2
exec 3<&- /usr/libexec/virtiofsd "$@"`;

/** Where the guest has a file of the project; others are where they are in its root file system. */
function inGuest(path: string): string {
  return path.startsWith(PROJECT) ? `/mnt/project/${path.slice(PROJECT.length)}` : path;
}

/**
 * Runs one program on the simulated node. What kernel and program say otherwise is in `console.log` of its directory.
 *
 * @returns the exit status of the program; 137 if it ran into its time limit
 * @throws {EmulatorCrash}
 */
export async function bootNode(node: Node, boot: Boot): Promise<number> {
  const directory = await Deno.makeTempDir();
  const socket = `${directory}/root.sock`;
  const consoleLog = `${directory}/console.log`;
  await Deno.writeTextFile(consoleLog, "");
  const processes: Deno.ChildProcess[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const share = ["--mount", "sh", "-euc", SHARE, "sh", PROJECT, node.root];
    const files = [`--socket-path=${socket}`, `--shared-dir=${node.root}`, "--readonly"];
    const virtiofsd = [...files, "--sandbox=none", "--cache=always", "--log-level=error"];
    processes.push(start("unshare", [...share, ...virtiofsd], "null"));
    await untilExists(socket);
    const program = `qemu-system-${node.architecture.target}`;
    const qemu = start(program, qemuArguments(node, boot, socket, consoleLog), "piped");
    processes.push(qemu);
    timer = setTimeout(() => kill(qemu), boot.timeoutMs + MACHINE_MS);

    let status: number | undefined;
    for await (const line of lines(qemu.stdout)) {
      const end = /^exit-status (\d+)$/.exec(line);
      if (end) status = Number(end[1]);
      else boot.onLine(line);
    }
    if (status !== undefined) return status;
    const { signal, code } = await qemu.status;
    const words = await tail(consoleLog);
    const fault = words.split("\n").findLast((line) => /panic|BUG|Oops/.test(line)) ?? "no word of a fault";
    const message = `The simulated node ended without a status (QEMU: ${signal ?? code}): ${fault}\n${words}`;
    throw signal === "SIGABRT" || signal === "SIGSEGV" ? new EmulatorCrash(message) : new Error(message);
  } finally {
    clearTimeout(timer);
    processes.forEach(kill);
    await Promise.all(processes.map((process) => process.status));
    await Deno.copyFile(consoleLog, `${node.directory}/console.log`); // at the end, as boots may overlap
    await Deno.remove(directory, { recursive: true });
  }
}

/** The last lines of a log, which tell why a machine ended. */
export async function tail(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).trimEnd().split("\n").slice(-40).join("\n");
}

function qemuArguments(node: Node, boot: Boot, rootSocket: string, consoleLog: string): string[] {
  const memory = `${boot.memoryMiB ?? 2048}M`;
  return [
    ...node.architecture.machine,
    ...processorArguments(boot),
    ...["-m", memory],
    ...["-display", "none", "-nodefaults", "-no-reboot"],
    ...["-serial", `file:${consoleLog}`, "-serial", "stdio"],
    // virtiofs wants memory that virtiofsd can map
    ...["-object", `memory-backend-memfd,id=memory,size=${memory},share=on`, "-numa", "node,memdev=memory"],
    ...["-chardev", `socket,id=root,path=${rootSocket}`],
    ...["-device", "vhost-user-fs-pci,chardev=root,tag=root"],
    // the NIC: a PF of 7 VFs, on a network that leads nowhere, and on which no router gives netdevs addresses
    ...["-netdev", "user,id=network,restrict=on,ipv6=off"],
    ...["-device", "pcie-root-port,id=slot1,slot=1", "-device", "igb,bus=slot1,netdev=network"],
    ...["-kernel", node.kernel.image, "-initrd", node.initramfs],
    ...["-append", kernelCommandLine(node, boot)],
  ];
}

function processorArguments({ clock = "host", processors = clock === "host" ? 2 : 1 }: Boot): string[] {
  const smp = ["-smp", `${processors}`];
  // Besides the device the processor must have what KVM needs: containers may have a device that runs nothing.
  const hasKvm = /^flags.* (vmx|svm) /m.test(Deno.readTextFileSync("/proc/cpuinfo"));
  if (clock === "host") return [...hasKvm ? ["-accel", "kvm"] : [], "-accel", "tcg,thread=multi", ...smp];
  const sleep = clock === "instructions" ? "on" : "off";
  return ["-accel", "tcg,thread=single", "-icount", `shift=0,sleep=${sleep}`, ...smp];
}

/** Words before `--` are for the kernel, `NAME=value` among them for init's environment; those after it for init. */
function kernelCommandLine(node: Node, boot: Boot): string {
  const { serialPorts: [console, port], kernelArguments } = node.architecture;
  const words = [
    ...[`console=${console}`, "quiet", "oops=panic", "panic=-1", "mitigations=off", ...kernelArguments],
    ...["ib_core.netns_mode=0", ...(boot.kernelArguments ?? [])],
    ...[`INIT=${inGuest(INIT)}`, `MODULES=${inGuest(node.kernel.moduleRoot)}`, `PORT=/dev/${port}`],
    ...[`TIME_LIMIT_S=${Math.ceil(boot.timeoutMs / 1000)}`, "--", ...boot.command.map(inGuest)],
  ];
  const unfit = words.find((word) => word.includes('"'));
  if (unfit !== undefined) throw new Error(`Cannot hand over to the guest: quotation mark in ${unfit}`);
  return words.map((word) => /\s/.test(word) ? `"${word}"` : word).join(" ");
}

/** Starts a program that the kernel kills if this process dies without having done so. */
function start(program: string, args: string[], stdout: "piped" | "null"): Deno.ChildProcess {
  const guard = ["--pdeathsig", "KILL", "--", program];
  return new Deno.Command("setpriv", { args: [...guard, ...args], stdin: "null", stdout }).spawn();
}

function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // it has ended
  }
}

async function untilExists(path: string): Promise<void> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await delay(20)) {
    if (await Deno.lstat(path).then(() => true, () => false)) return;
  }
  throw new Error(`Cannot start virtiofsd: no socket after 10 s`);
}

async function* lines(bytes: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}
