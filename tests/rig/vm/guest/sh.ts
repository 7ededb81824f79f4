import { assertEquals } from "../../../support/assert.ts";

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** What makes a command line more than a program and its arguments: other characters, a variable, a builtin. */
const NEEDS_SHELL = /[^\w ./:,@%+=-]|^\S*=|^(cd|exec|exit) /;

/** Runs a command line, without a shell where it can: that takes longer than the command on an emulated processor. */
export async function sh(command: string): Promise<Outcome> {
  const [program, ...args] = NEEDS_SHELL.test(command) ? ["sh", "-c", command] : command.trim().split(/ +/);
  return await outcome(new Deno.Command(program!, { args, stdin: "null" }));
}

/** Runs a command line of the shell that has to succeed. @returns its standard output without the final newline */
export async function shOk(command: string): Promise<string> {
  const { code, stdout, stderr } = await sh(command);
  if (code !== 0) throw new Error(`${command}: exit status ${code}: ${(stderr || stdout).trim()}`);
  return stdout.trimEnd();
}

/** Runs a prepared command, with text on its standard input if there is some. */
export async function outcome(command: Deno.Command, stdin?: string): Promise<Outcome> {
  const child = stdin === undefined ? command : command.spawn();
  // A program may well end without having read all of its input.
  if ("stdin" in child) await new Blob([stdin!]).stream().pipeTo(child.stdin).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

const background = new Set<Deno.ChildProcess>();

/** Starts a command line that runs until `endBackground`. @param ready what it writes once it is where it is wanted */
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

export async function endBackground(): Promise<void> {
  for (const child of background) {
    endProcess(child, "SIGKILL");
    await child.status;
  }
  background.clear();
}

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
