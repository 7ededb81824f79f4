import { VERSION } from "../../version.ts";
import { recognize } from "../install/own_program.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { findMultusDaemons } from "./multus.ts";
import { type Node, quote } from "./node.ts";

const FOLDER = "/opt/cni/bin";
const INSTALLED = `${FOLDER}/rdma`;
const TIME_LIMIT_MS = 5000;
const OUTPUT_LIMIT = 4096;

/** How a program answered to `--version`: not at all within the time limit, or with what it printed. */
export type Answer =
  | { readonly kind: "absent" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "silent" }
  | { readonly kind: "text"; readonly text: string };

/** What is installed, and who starts it. */
export interface Installed {
  readonly kind: ReturnType<typeof recognize>;
  readonly hasThickMultus: boolean;
}

/** Whether the plugin that runtimes start is this version, started by the launcher. */
export async function examineInstalledPlugin({ root, executable }: Node): Promise<Finding[]> {
  const path = `${root}${INSTALLED}`;
  const answer = await askVersion(path, AbortSignal.timeout(TIME_LIMIT_MS));
  const installed = {
    kind: answer.kind === "text" ? recognize(path) : "other",
    hasThickMultus: findMultusDaemons(root).length > 0,
  } as const;
  return [judgeAnswer(answer, `${quote(executable)} install --cni-bin-dir ${FOLDER}`, installed)];
}

/**
 * Judges what the installed plugin answered.
 *
 * @param install the command that puts this program there
 */
export function judgeAnswer(answer: Answer, install: string, { kind, hasThickMultus }: Installed): Finding {
  switch (answer.kind) {
    case "absent":
      return problem("plugin", `${INSTALLED} is not there: runtimes find no plugin "rdma"`, install);
    case "failed":
      return problem("plugin", `${INSTALLED} cannot be run: ${answer.reason}`, install);
    case "silent":
      return problem(
        "plugin",
        `${INSTALLED} does not answer to --version within ${TIME_LIMIT_MS / 1000} s`,
        install,
      );
  }
  const [, version] = /^rdma-cni (\d\S*)$/m.exec(answer.text) ?? [];
  if (version === VERSION && kind === "launcher") return ok("plugin", `${INSTALLED} is version ${version}`);
  if (version === VERSION) {
    const text =
      `${INSTALLED} is version ${version} without launcher: from 4.1.0 on thick Multus cannot start it`;
    return (hasThickMultus ? problem : warning)("plugin", text, install);
  }
  if (version !== undefined) {
    return warning("plugin", `${INSTALLED} is version ${version}, this program is ${VERSION}`, install);
  }
  if (kind === "launcher") {
    return problem("plugin", `${INSTALLED} cannot start the program: ${firstLine(answer.text)}`, install);
  }
  return isGoPlugin(answer.text)
    ? warning("plugin", `${INSTALLED} is the Go plugin, not this one`, install)
    : warning(
      "plugin",
      `${INSTALLED} is another program: it answers ${JSON.stringify(firstLine(answer.text))}`,
      install,
    );
}

/** Early releases know no options and complain as every plugin does without CNI_COMMAND; later ones tell a version. */
function isGoPlugin(text: string): boolean {
  return /^rdma-cni version:/m.test(text) || /CNI_COMMAND/.test(text);
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!.slice(0, 200);
}

/** Runs a program with `--version` and nothing else; it is killed when the time is up. */
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
    collect(child.stdout, timeUp),
    collect(child.stderr, timeUp),
    child.status,
  ]);
  return timeUp.aborted ? { kind: "silent" } : { kind: "text", text: stdout + stderr };
}

/** What comes until the end, until the time is up (another process may keep the pipe open), or until it is too much. */
async function collect(stream: ReadableStream<Uint8Array>, timeUp: AbortSignal): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const write = (bytes: Uint8Array) => {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > OUTPUT_LIMIT) throw new RangeError("too much");
  };
  await stream.pipeTo(new WritableStream({ write }), { signal: timeUp }).catch(() => {});
  return text;
}

/** It may have ended, with another process keeping its output open. */
function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}
