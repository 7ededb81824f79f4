// Programs of their own: the alarm that ends the waiting is for a process's main thread, where no test runs.
import { LinuxKernel } from "../../src/kernel/linux.ts";
import { libc } from "../../src/sys/libc.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Root } from "./root.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

const LOCK = import.meta.resolve("../../src/sys/lock.ts");

/** Once told to, waits for the lock on a directory. Prints whether it came, when, and what that took; then gives it up, and stays. */
const WAITER = `
  import { lockExclusively } from "${LOCK}";
  const cpuMs = () => Number(Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ")[0]) / 1e6;
  const [directory, timeoutMs] = Deno.args;
  lockExclusively(directory, 1)?.[Symbol.dispose]();
  console.log("ready");
  await Deno.stdin.read(new Uint8Array(1));
  const [start, cpu] = [Date.now(), cpuMs()];
  const lock = lockExclusively(directory, Number(timeoutMs));
  console.log(JSON.stringify({ got: !!lock, at: performance.timeOrigin + performance.now(), ms: Date.now() - start, cpuMs: cpuMs() - cpu }));
  lock?.[Symbol.dispose]();
  console.log("given up");
  let alarms = 0;
  Deno.addSignalListener("SIGALRM", () => alarms++);
  await new Promise((done) => setTimeout(done, 300));
  console.log(alarms + " alarms");
  await Deno.stdin.read(new Uint8Array(1));
`;

/** Takes the lock of the plugin, or prints why it cannot; says so, and stays. */
const PLUGIN = `
  import { LinuxKernel } from "${import.meta.resolve("../../src/kernel/linux.ts")}";
  import { lockState } from "${import.meta.resolve("../../src/plugin/record/lock.ts")}";
  try {
    lockState(new LinuxKernel(), Deno.args[0], "a test", 0);
    console.log("locked by " + Deno.pid);
  } catch (error) {
    console.log(error.message);
  }
  await Deno.stdin.read(new Uint8Array(1));
`;

const hold = (directory: string) => new LinuxKernel().lock(directory, 0)!;

const CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

/** Far longer than anything takes here. */
const LIMIT_MS = 60_000;

/** A process, and what it prints, line by line. It is ended when it takes much too long. */
class Started implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #timer = setTimeout(() => this.#child.kill("SIGKILL"), LIMIT_MS);
  #read = "";

  constructor(code: string, directory: string, timeoutMs = 0, by: string[] = []) {
    const program = `data:application/typescript,${encodeURIComponent(code)}`;
    const deno = [Deno.execPath(), "run", "-A", "--no-check", program, directory, `${timeoutMs}`];
    const [first = "", ...args] = [...by, ...deno];
    this.#child = new Deno.Command(first, { args, stdin: "piped", stdout: "piped" }).spawn();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** proc_pid_stat(5), field 41: 0 is SCHED_OTHER, 2 is SCHED_RR. */
  get schedulingPolicy(): number {
    const [, afterName = ""] = Deno.readTextFileSync(`/proc/${this.pid}/stat`).split(") ");
    return Number(afterName.split(" ")[41 - 3]);
  }

  async line(): Promise<string> {
    while (!this.#read.includes("\n")) {
      const { value } = await this.#reader.read();
      if (value === undefined) throw new Error("The process has ended");
      this.#read += value;
    }
    const [line = "", ...rest] = this.#read.split("\n");
    this.#read = rest.join("\n");
    return line;
  }

  /** Tells it to wait for the lock. @returns once it is in the kernel's queue */
  async queue(): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(Uint8Array.of(10));
    writer.releaseLock();
    const waits = new RegExp(`-> FLOCK .* ${this.pid} `);
    const deadline = performance.now() + LIMIT_MS;
    while (!waits.test(Deno.readTextFileSync("/proc/locks"))) {
      if (performance.now() > deadline) throw new Error(`Waited ${LIMIT_MS} ms in vain for the lock's queue`);
      await new Promise((done) => setTimeout(done, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#reader.cancel();
    await this.#child.stdin.abort();
    await this.#child.status;
  }
}

async function waiter(directory: string, timeoutMs = LIMIT_MS): Promise<Started> {
  const started = new Started(WAITER, directory, timeoutMs);
  assertEquals(await started.line(), "ready");
  await started.queue();
  return started;
}

Deno.test("a lock that stays taken is waited for until the time is over, without work", async () => {
  using root = new Root({});
  using _held = hold(root.path);
  await using waiting = await waiter(root.path, 400);
  const { got, ms, cpuMs } = JSON.parse(await waiting.line());
  assertEquals(got, false);
  assert(ms >= 400 && ms < 2000, `${ms} ms`);
  assert(cpuMs < 20, `${cpuMs} ms of processor time`);
  assertEquals([await waiting.line(), await waiting.line()], ["given up", "0 alarms"]);
});

Deno.test("those who wait for a lock get it in the order in which they came, also when one is killed", async () => {
  using root = new Root({});
  const first = hold(root.path);
  const second = await waiter(root.path);
  await using third = await waiter(root.path);
  await using fourth = await waiter(root.path);
  await second[Symbol.asyncDispose]();
  first[Symbol.dispose]();
  const [before, after] = [JSON.parse(await third.line()), JSON.parse(await fourth.line())];
  assertEquals([before.got, after.got, before.at < after.at], [true, true, true]);
});

Deno.test("who waits for a lock goes before all other programs until it has given the lock back, if it may", async () => {
  const chrt = new Deno.Command("chrt", { args: ["--rr", "1", "true"], stderr: "null" });
  const { success: isPermitted } = await chrt.output();
  using root = new Root({});
  const first = hold(root.path);
  await using second = await waiter(root.path);
  assertEquals(second.schedulingPolicy, isPermitted ? 2 : 0);
  first[Symbol.dispose]();
  assertEquals([JSON.parse(await second.line()).got, await second.line()], [true, "given up"]);
  assertEquals(second.schedulingPolicy, 0);
});

for (const isInside of [true, false]) {
  Deno.test(`who has the lock in a container is named by the number here, or outside of one not at all: ${isInside}`, async () => {
    using root = new Root({});
    await using holding = new Started(PLUGIN, root.path, 0, isInside ? CONTAINER : []);
    assertMatch(await holding.line(), isInside ? /^locked by 1$/ : /^locked by \d+$/);
    await using asking = new Started(PLUGIN, root.path, 0, isInside ? [] : CONTAINER);
    const children = Deno.readTextFileSync(`/proc/${holding.pid}/task/${holding.pid}/children`);
    const who = isInside ? `process ${children.trim()}` : "a process in another PID namespace";
    assertMatch(await asking.line(), new RegExp(`: ${who} has had it for \\d+\\.\\d s, for a test$`));
  });
}
