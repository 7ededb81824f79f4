/** Child processes of the build: how they are run, and what they see of its environment. */
import { fileURLToPath } from "node:url";
import { messageOf } from "../../src/sys/errno.ts";

/** The project's directory, with a slash at its end. */
export const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** The surroundings of a child process. */
interface ChildOptions {
  cwd: string;
  env: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/**
 * Runs a command to its end, without stdin.
 *
 * @returns its stdout
 * @throws {Error} with its stderr when it cannot be started or does not exit with 0
 */
export async function runChild(command: string, args: string[], options: ChildOptions): Promise<string> {
  const name = `"${[command.split("/").at(-1), args[0]].join(" ")}"`;
  let result: Deno.CommandOutput;
  try {
    const { signal, ...rest } = options;
    const child = { ...rest, args, clearEnv: true, ...(signal ? { signal } : {}) };
    result = await new Deno.Command(command, { ...child, stdin: "null" }).output();
  } catch (cause) {
    throw new Error(`Cannot start ${name}: ${messageOf(cause)}`, { cause });
  }
  if (!result.success) {
    const end = options.signal?.aborted
      ? `stopped: ${messageOf(options.signal.reason)}`
      : `exited with ${result.signal ?? result.code}`;
    const stderr = new TextDecoder().decode(result.stderr).trim();
    throw new Error(`${name} ${end}${stderr && `: ${stderr}`}`);
  }
  return new TextDecoder().decode(result.stdout);
}

// A build must not depend on who starts it, so children see only variables that say where things are.
const PLACES = [
  "PATH",
  "HOME",
  "TMPDIR",
  "XDG_CACHE_HOME",
  "DENO_DIR",
  "DENO_CERT",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NPM_CONFIG_REGISTRY",
  ...["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()]),
];

/** The environment in which Deno itself runs as a child: places, certificates, and nothing that changes its result. */
export function denoEnv(): Record<string, string> {
  const env = Object.fromEntries(PLACES.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
  return { ...env, NO_COLOR: "1", DENO_TLS_CA_STORE: "system,mozilla", DENO_NO_PACKAGE_JSON: "1" };
}
