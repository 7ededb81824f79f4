import { fileURLToPath } from "node:url";
import { assertEquals } from "./assert.ts";
import { CONFIG, ENVIRONMENT, type Variables } from "./call.ts";

export const PROGRAM = fileURLToPath(new URL("../../dist/rdma-cni", import.meta.url));

/** Makes a copy of the executable that differs by a byte of the ELF header which nobody reads (EI_PAD). @returns its path */
export async function otherBuild(path: string): Promise<string> {
  await Deno.copyFile(PROGRAM, path);
  using file = await Deno.open(path, { write: true });
  await file.seek(12, Deno.SeekMode.Start);
  await file.write(Uint8Array.of(1));
  return path;
}

/** Far longer than anything takes here. */
const LIMIT_MS = 5 * 60_000;

const PIPED = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
  /** Standard output, when it begins like JSON: then it must be one JSON and nothing more. */
  // deno-lint-ignore no-explicit-any -- tests look into results and errors of every kind
  json: any;
}

interface Start {
  /** The whole environment; nothing of the tests' own comes with it. */
  env?: Record<string, string>;
  stdin?: string | Uint8Array;
  args?: string[];
  cwd?: string;
  /** The executable, if it is not the one that was built here. */
  program?: string;
  /** A program, with its arguments, that starts the executable: all that follows is appended. */
  by?: string[];
}

/**
 * Starts the executable as a user who is not root, from a copy, for he may not be able to enter the directories that
 * lead to the project.
 */
export function byUser(id: number): string[] {
  const script = `
    mount -t tmpfs tmpfs /mnt
    install -m 755 "$0" /mnt/rdma-cni
    exec setpriv --reuid=${id} --regid=${id} --clear-groups /mnt/rdma-cni "$@"`;
  return ["unshare", "--mount", "sh", "-euc", script];
}

/** Runs the executable to its end, which it is brought to when it takes much too long. */
export async function start(
  { env = {}, stdin = "", args = [], by = [], program = PROGRAM, ...where }: Start,
): Promise<Outcome> {
  const [first, ...rest] = [...by, program, ...args];
  const child = new Deno.Command(first!, { ...where, args: rest, env, clearEnv: true, ...PIPED }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  return await endOf(child, stdin).finally(() => clearTimeout(timer));
}

/** Gives a program its standard input, of which it need not read all, and waits for its end. */
async function endOf(child: Deno.ChildProcess, stdin: string | Uint8Array): Promise<Outcome> {
  const output = child.output();
  const writer = child.stdin.getWriter();
  const bytes = typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
  await writer.write(bytes).then(() => writer.close()).catch(() => {});
  const { code, ...streams } = await output;
  const [stdout, stderr] = [streams.stdout, streams.stderr].map((bytes) => new TextDecoder().decode(bytes));
  const json = stdout!.startsWith("{") ? JSON.parse(stdout!) : undefined;
  return { code, stdout: stdout!, stderr: stderr!, json };
}

interface Call extends Omit<Start, "env" | "stdin"> {
  /** CNI_* and other variables besides, or instead of, those of every call; undefined leaves one out. */
  variables?: Variables;
  /** Text as it is; an object as keys besides those of every configuration. */
  config?: string | object;
}

/** Starts a program that sees an empty directory in the place of the one with this machine's records, if there is one. */
const WITHOUT_RECORDS = [
  ...["/usr/bin/unshare", "--mount", "/bin/sh", "-c"],
  '{ [ ! -d /var/lib/cni ] || mount -t tmpfs none /var/lib/cni; } && exec "$0" "$@"',
];

/**
 * Makes a call as a runtime does. What could take a device from a pod of this machine finds no record of one; the
 * network is called "net", as one of the machine's own may be.
 */
export function call(
  command: string,
  { variables, config = {}, by = [], ...rest }: Call = {},
): Promise<Outcome> {
  const isolation = command === "DEL" || command === "GC" ? WITHOUT_RECORDS : [];
  const all: Variables = { ...ENVIRONMENT, CNI_COMMAND: command, ...variables };
  const env = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  const stdin = typeof config === "string" ? config : JSON.stringify({ ...CONFIG, ...config });
  return start({ env: env as Record<string, string>, stdin, by: [...isolation, ...by], ...rest });
}

/** An ADD that waits for its configuration. */
export class HeldCall implements Disposable {
  readonly #child: Deno.ChildProcess;

  constructor(program: string) {
    this.#child = new Deno.Command(program, { env: { ...ENVIRONMENT }, clearEnv: true, ...PIPED }).spawn();
  }

  get pid(): number {
    return this.#child.pid;
  }

  end(): Promise<Outcome> {
    return endOf(this.#child, JSON.stringify(CONFIG));
  }

  [Symbol.dispose](): void {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended
    }
  }
}

/** Asserts that a call failed with one JSON on standard output, and told it on standard error too. */
export function assertFailed({ code, json, stderr }: Outcome, wanted: number, part = ""): void {
  const told = [json.msg.includes(part), stderr.includes('level="error"')];
  assertEquals([code, json.code, ...told], [1, wanted, true, true], `${JSON.stringify(json)}\n${stderr}`);
}
