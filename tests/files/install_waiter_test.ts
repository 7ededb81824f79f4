// The program that waits in the place of `install --wait`: the constants are what the sources make, and do as they say.
import { WAITER } from "../../src/cli/install/wait.ts";
import { assertEquals } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";

const TOOLS = {
  x86_64: { prefix: "x86_64-linux-gnu-", emulator: "qemu-x86_64" },
  aarch64: { prefix: "aarch64-linux-gnu-", emulator: "qemu-aarch64" },
};

for (const arch of ["x86_64", "aarch64"] as const) {
  const { prefix, emulator } = TOOLS[arch];
  /** What runs the program on this machine. */
  const by = arch === Deno.build.arch ? [] : [emulator];

  Deno.test(`the program that waits is what its source for ${arch} makes`, async () => {
    await withDirectory(async (directory) => {
      const source = `${PROJECT}src/cli/install/waiter_${arch}.s`;
      await run(`${prefix}as`, source, "-o", `${directory}/waiter.o`);
      await run(`${prefix}objcopy`, "-O", "binary", `${directory}/waiter.o`, `${directory}/waiter`);
      assertEquals(await Deno.readFile(`${directory}/waiter`), WAITER[arch]);
    });
  });

  Deno.test(`the program that waits, for ${arch}: SIGTERM or SIGINT ends it with code 0, an interruption does not`, async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      assertEquals(await endBy(signal, arch, [...by, "WAITER"]), { code: 0, stdout: "" });
    }
  });

  Deno.test(`the program that waits, for ${arch}: then it runs its arguments, with its environment`, async () => {
    const command = ["/bin/sh", "-c", 'echo "$1 $WORD"', "-", "two words"];
    assertEquals(await endBy("SIGTERM", arch, [...by, "WAITER", ...command]), {
      code: 0,
      stdout: "two words of the environment\n",
    });
    assertEquals((await endBy("SIGTERM", arch, [...by, "WAITER", "/nonexistent"])).code, 1);
  });
}

/** Starts the program with SIGTERM and SIGINT blocked, interrupts it, and sends it the signal. */
function endBy(signal: Deno.Signal, arch: keyof typeof WAITER, words: string[]) {
  return withDirectory(async (directory) => {
    await Deno.writeFile(`${directory}/waiter`, WAITER[arch], { mode: 0o755 });
    const command = words.map((word) => word === "WAITER" ? `${directory}/waiter` : word);
    const child = new Deno.Command("env", {
      args: ["--block-signal=TERM,INT", ...command],
      env: { WORD: "of the environment" },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    await untilWaiting(child.pid, directory);
    child.kill("SIGSTOP");
    child.kill("SIGCONT");
    await untilWaiting(child.pid, directory);
    child.kill(signal);
    const { code, stdout } = await child.output();
    return { code, stdout: new TextDecoder().decode(stdout) };
  });
}

/** Waits until the program has taken over from env, and sleeps. */
async function untilWaiting(pid: number, directory: string): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    const [line, state] = await Promise.all([
      Deno.readTextFile(`/proc/${pid}/cmdline`),
      Deno.readTextFile(`/proc/${pid}/status`),
    ]);
    if (!line.startsWith("env\0") && line.includes(directory) && /^State:\tS/m.test(state)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  Deno.kill(pid, "SIGKILL");
  throw new Error(`Waited in vain for process ${pid} to wait`);
}

async function withDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await Deno.makeTempDir();
  try {
    return await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
}
