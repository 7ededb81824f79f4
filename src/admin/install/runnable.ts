import { EACCES, ENOENT, ENOEXEC, errnoOf } from "../../kernel/error.ts";
import { VERSION } from "../../version.ts";
import { CommandError } from "../error.ts";

const ANSWER = `rdma-cni ${VERSION}\n`;

/** Makes sure that a copy of this program runs, by asking for its version. @throws {CommandError} that says why not */
export function assertRunnable(path: string): void {
  const { success, signal, stdout, stderr } = askVersion(path);
  if (success && stdout === ANSWER) return;
  if (signal) throw cannotRun(`${signal} ended it`, "It may need more memory than the container has.");
  if (success) {
    throw cannotRun(`it answers ${JSON.stringify(stdout.slice(0, 200))} to --version`, "Build it again.");
  }
  throw cannotRun(
    stderr.trim() || stdout.trim() || "it says nothing",
    "It needs the libraries of glibc and libgcc_s.",
  );
}

function askVersion(path: string) {
  try {
    const options: Deno.CommandOptions = { args: ["--version"], clearEnv: true, cwd: "/", stdin: "null" };
    const { success, signal, ...output } = new Deno.Command(path, options).outputSync();
    const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { success, signal, stdout: stdout!, stderr: stderr! };
  } catch (error) {
    throw explain(error as Error);
  }
}

function explain(error: Error): CommandError {
  switch (errnoOf(error)) {
    case ENOENT:
      return cannotRun(
        "its loader is missing",
        "It needs glibc, which systems with musl (Alpine, Talos) lack.",
      );
    case ENOEXEC:
      return cannotRun("it is built for another architecture", "Take the executable for this machine's.");
    case EACCES:
      return cannotRun(
        "permission denied",
        "The file system is mounted noexec, or a security module forbids it: runtimes could not run it either.",
      );
    default:
      return cannotRun(error.message, "Runtimes could not run it either.");
  }
}

function cannotRun(found: string, advice: string): CommandError {
  return new CommandError(
    `Cannot run the copy of this program: ${found}`,
    `${advice} What was installed before is as it was.`,
  );
}
