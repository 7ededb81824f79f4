// Programs of their own: the alarm that ends the waiting is for a process's main thread, where no test runs.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";

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

/** Far longer than anything takes here. */
const LIMIT_MS = 60_000;

/** A process, and what it prints, line by line. It is ended when it takes much too long. */
class Started implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #timer = setTimeout(() => this.#child.kill("SIGKILL"), LIMIT_MS);
  #read = "";

  constructor(program: string, args: string[]) {
    this.#child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped" }).spawn();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
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

  get pid(): number {
    return this.#child.pid;
  }

  async write(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
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

/** A program that has the lock. */
async function holder(directory: string): Promise<Started> {
  const started = new Started("flock", ["--no-fork", directory, "sh", "-c", "echo locked; exec sleep 60"]);
  assertEquals(await started.line(), "locked");
  return started;
}

/** A program that waits for the lock. */
async function waiter(directory: string, timeoutMs: number): Promise<Started> {
  const program = `data:application/typescript,${encodeURIComponent(WAITER)}`;
  const args = ["run", "-A", "--no-check", program, directory, String(timeoutMs)];
  const started = new Started(Deno.execPath(), args);
  assertEquals(await started.line(), "ready");
  await started.write("\n");
  const waits = new RegExp(`-> FLOCK .* ${started.pid} `);
  const deadline = performance.now() + LIMIT_MS;
  while (!waits.test(Deno.readTextFileSync("/proc/locks"))) {
    if (performance.now() > deadline) throw new Error(`Waited ${LIMIT_MS} ms in vain for the lock's queue`);
    await new Promise((done) => setTimeout(done, 5));
  }
  return started;
}

Deno.test("a lock that stays taken is waited for until the time is over, without work", async () => {
  const directory = Deno.makeTempDirSync();
  await using _holder = await holder(directory);
  await using waiting = await waiter(directory, 400);
  const { got, ms, cpuMs } = JSON.parse(await waiting.line());
  assertEquals(got, false);
  assert(ms >= 400 && ms < 2000, `${ms} ms`);
  assert(cpuMs < 20, `${cpuMs} ms of processor time`);
  assertEquals([await waiting.line(), await waiting.line()], ["given up", "0 alarms"]);
  Deno.removeSync(directory);
});

Deno.test("those who wait for a lock get it in the order in which they came, also when one is killed", async () => {
  const directory = Deno.makeTempDirSync();
  const first = await holder(directory);
  const second = await waiter(directory, 60_000);
  await using third = await waiter(directory, 60_000);
  await using fourth = await waiter(directory, 60_000);
  await second[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
  const [before, after] = [JSON.parse(await third.line()), JSON.parse(await fourth.line())];
  assertEquals([before.got, after.got, before.at < after.at], [true, true, true]);
  Deno.removeSync(directory);
});

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

/** A program that tries to take the plugin's lock, on request in a PID namespace of its own, and what it says. */
async function plugin(
  directory: string,
  isInContainer: boolean,
): Promise<{ started: Started; said: string }> {
  const program = `data:application/typescript,${encodeURIComponent(PLUGIN)}`;
  const line = [Deno.execPath(), "run", "-A", "--no-check", program, directory];
  const container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const [command = "", ...args] = [...(isInContainer ? container : []), ...line];
  const started = new Started(command, args);
  return { started, said: await started.line() };
}

Deno.test("who has the lock in a container is named by the number that it has here", async () => {
  const directory = Deno.makeTempDirSync();
  const { started, said } = await plugin(directory, true);
  await using container = started;
  assertEquals(said, "locked by 1");
  const { started: other, said: refusal } = await plugin(directory, false);
  await using _other = other;
  const pid = Deno.readTextFileSync(`/proc/${container.pid}/task/${container.pid}/children`).trim();
  assertMatch(refusal, new RegExp(`: process ${pid} has had it for \\d+\\.\\d s, for a test$`));
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("who has the lock outside of a container cannot be named in it", async () => {
  const directory = Deno.makeTempDirSync();
  const { started } = await plugin(directory, false);
  await using _holder = started;
  const { started: container, said } = await plugin(directory, true);
  await using _container = container;
  assertMatch(said, /: a process in another PID namespace has had it for \d+\.\d s, for a test$/);
  Deno.removeSync(directory, { recursive: true });
});

/** proc_pid_stat(5), field 41: 0 is SCHED_OTHER, 2 is SCHED_RR. */
function schedulingPolicy(pid: number): number {
  const [, afterName = ""] = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ");
  return Number(afterName.split(" ")[41 - 3]);
}

Deno.test("who waits for a lock goes before all other programs until it has given the lock back, if it may", async () => {
  const { success: isPermitted } = await new Deno.Command("chrt", {
    args: ["--rr", "1", "true"],
    stderr: "null",
  })
    .output();
  const directory = Deno.makeTempDirSync();
  const first = await holder(directory);
  await using second = await waiter(directory, 60_000);
  assertEquals(schedulingPolicy(second.pid), isPermitted ? 2 : 0);
  await first[Symbol.asyncDispose]();
  assertEquals(JSON.parse(await second.line()).got, true);
  assertEquals(await second.line(), "given up");
  assertEquals(schedulingPolicy(second.pid), 0);
  Deno.removeSync(directory);
});
