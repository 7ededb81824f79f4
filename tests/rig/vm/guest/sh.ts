import { assertEquals } from "../../../support/assert.ts";

/** How a program ended. A signal counts as code 128 + its number. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** What makes a command line more than a program and its arguments: other characters, a variable, a builtin. */
const NEEDS_SHELL = /[^\w ./:,@%+=-]|^\S*=|^(cd|exec|exit) /;

/**
 * Runs a command line of the shell to its end. Never throws because the command failed. Starts no shell that it can do
 * without: that takes longer than the command on an emulated processor.
 *
 * @throws {Deno.errors.NotFound} if it needs no shell, and there is no such program
 */
export async function sh(command: string): Promise<Outcome> {
  const [program, ...args] = NEEDS_SHELL.test(command) ? ["sh", "-c", command] : command.trim().split(/ +/);
  return await outcome(new Deno.Command(program!, { args, stdin: "null" }));
}

/**
 * Runs a command line of the shell that has to succeed.
 *
 * @returns its standard output without the final newline
 * @throws {Error} with the command's standard error, if it fails
 */
export async function shOk(command: string): Promise<string> {
  const { code, stdout, stderr } = await sh(command);
  if (code !== 0) throw new Error(`${command}: exit status ${code}: ${(stderr || stdout).trim()}`);
  return stdout.trimEnd();
}

/** Runs a prepared command, with text on its standard input if there is some. */
export async function outcome(command: Deno.Command, stdin?: string): Promise<Outcome> {
  if (stdin === undefined) return decode(await command.output());
  const child = command.spawn();
  const writer = child.stdin.getWriter();
  // A program may well end without having read all of its input.
  await writer.write(new TextEncoder().encode(stdin)).then(() => writer.close()).catch(() => {});
  return decode(await child.output());
}

function decode({ code, stdout, stderr }: Deno.CommandOutput): Outcome {
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const background = new Set<Deno.ChildProcess>();

/**
 * Starts a command line of the shell and leaves it running, until `endBackground` at the latest.
 *
 * @param ready what the command writes to its standard output once it is where the case wants it
 * @throws {Error} if the command ends without having written that, or does not write it within a minute
 */
export async function startBackground(command: string, ready: string): Promise<Deno.ChildProcess> {
  const child = new Deno.Command("sh", { args: ["-c", command], stdin: "null", stdout: "piped" }).spawn();
  background.add(child);
  const timer = setTimeout(() => endProcess(child, "SIGKILL"), 60_000);
  let written = "";
  for await (
    const text of child.stdout.pipeThrough(new TextDecoderStream()).values({ preventCancel: true })
  ) {
    written += text;
    if (written.includes(ready)) {
      clearTimeout(timer);
      return child;
    }
  }
  throw new Error(`${command}: ended without "${ready}": ${written}`);
}

/** Asserts that a program ended with this exit code. */
export async function assertCode<T extends Outcome>(code: number, outcome: Promise<T> | T): Promise<T> {
  const ended = await outcome;
  assertEquals(ended.code, code, ended.stdout + ended.stderr);
  return ended;
}

/** Sends a signal to a process that may have ended. */
export function endProcess(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // it has ended
  }
}

/** Kills what `startBackground` started and waits until it is gone. */
export async function endBackground(): Promise<void> {
  for (const child of background) {
    endProcess(child, "SIGKILL");
    await child.status;
  }
  background.clear();
}

/** Waits until something holds, asking every 20 ms. @throws {Error} naming it after `timeoutMs` */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!await holds()) {
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
