import { CommandError } from "../error.ts";

/**
 * Makes sure that the machine can run a program, by having the system load it and end before its first instruction: that
 * takes 2 MB, where running it beside this process would take more than an installing container has. glibc's loader does
 * so when LD_TRACE_LOADED_OBJECTS is set, as ldd(1) does.
 *
 * @throws {CommandError} that says what keeps it from running
 */
export function assertRunnable(path: string): void {
  const { success, stdout, stderr } = load(path);
  const missing = /^\s*(\S+) => not found/m.exec(stdout)?.[1];
  if (success && missing === undefined) return;
  throw cannotRun(
    missing === undefined ? stderr.trim() || "the loader gives no reason" : `${missing} is not found`,
    "It needs the libraries of glibc and libgcc_s.",
  );
}

function load(path: string): { success: boolean; stdout: string; stderr: string } {
  const env = { LD_TRACE_LOADED_OBJECTS: "1" };
  try {
    const output = new Deno.Command(path, { clearEnv: true, env, stdin: "null" }).outputSync();
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { success: output.success, stdout: decode(output.stdout), stderr: decode(output.stderr) };
  } catch (error) {
    throw explain(error as Error);
  }
}

/** The runtime tells the errno of execve at the end of its message: ENOENT is 2, ENOEXEC 8, EACCES 13. */
function explain({ message }: Error): CommandError {
  const errno = /os error (\d+)/.exec(message)?.[1];
  switch (errno) {
    case "2":
      return cannotRun(
        "its loader is missing",
        "It needs glibc, which systems with musl (Alpine, Talos) lack.",
      );
    case "8":
      return cannotRun("it is built for another architecture", "Take the executable for this machine's.");
    case "13":
      return cannotRun(
        "permission denied",
        "The file system is mounted noexec, or a security module forbids it: runtimes could not run it either.",
      );
    default:
      return cannotRun(message, "Runtimes could not run it either.");
  }
}

function cannotRun(found: string, advice: string): CommandError {
  return new CommandError(
    `Cannot run the copy of this program: ${found}`,
    `${advice} What was installed before is as it was.`,
  );
}
