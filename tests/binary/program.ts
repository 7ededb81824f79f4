import { fileURLToPath } from "node:url";
import { assertEquals } from "../assert.ts";
import { CONFIG, ENVIRONMENT, type Variables } from "../fixtures/call.ts";

export const PROGRAM = fileURLToPath(new URL("../../dist/rdma-cni", import.meta.url));

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
  /** The executable, if it is not the one that was built here. */
  program?: string;
  /** A program, with its arguments, that starts the executable: all that follows is appended. */
  by?: string[];
}

/** Runs the executable to its end. */
export async function start(
  { env = {}, stdin = "", args = [], by = [], program = PROGRAM }: Start,
): Promise<Outcome> {
  const [first, ...rest] = [...by, program, ...args];
  const options = {
    args: rest,
    env,
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  } as const;
  const child = new Deno.Command(first!, options).spawn();
  const output = child.output();
  const writer = child.stdin.getWriter();
  const bytes = typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
  // The program may end without having read all of it.
  await writer.write(bytes).then(() => writer.close()).catch(() => {});
  const { code, ...streams } = await output;
  const decoder = new TextDecoder();
  const [stdout, stderr] = [decoder.decode(streams.stdout), decoder.decode(streams.stderr)];
  return { code, stdout, stderr, json: stdout.startsWith("{") ? JSON.parse(stdout) : undefined };
}

interface Call extends Omit<Start, "env" | "stdin"> {
  /** CNI_* and other variables besides, or instead of, those of every call; undefined leaves one out. */
  variables?: Variables;
  /** Text as it is; an object as keys besides those of every configuration. */
  config?: string | object;
}

/** Starts a program that sees an empty folder in the place of the one with this machine's records, if there is one. */
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

/** Asserts that a call failed with one JSON on standard output, and told it on standard error too. */
export function assertFailed({ code, json, stderr }: Outcome, wanted: number, part = ""): void {
  assertEquals(
    [code, json.code, json.msg.includes(part)],
    [1, wanted, true],
    `${JSON.stringify(json)}\n${stderr}`,
  );
  assertEquals(stderr.includes('level="error"'), true, stderr);
}
