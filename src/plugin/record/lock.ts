/** The node's lock: one call at a time moves devices and writes records. */
import { CniError, ErrorCode } from "../../cni/error.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { quietly } from "../../sys/errno.ts";
import { replaceFile } from "../../sys/files.ts";
import type { Call } from "../config/config.ts";
import type { Node } from "../node.ts";

/**
 * The file in which the lock's holder says what it does, while it has the lock. It is for people alone: a holder that was
 * killed leaves it behind, and the next one overwrites it.
 */
const HOLDER_FILE = ".holder";

type LockKernel = Pick<Kernel, "lock" | "findLockHolder" | "getBootTimeUs">;

/**
 * Takes the lock for a call of the plugin.
 *
 * @throws {CniError} code 11 when other calls have it for `lockTimeoutMs`
 */
export function takeLock({ environment, config }: Call, { kernel, state }: Node): Disposable {
  const { command, containerId, ifname } = environment;
  const attachment = command === "GC" ? "" : `container ${containerId}, interface ${ifname}, `;
  const doing = `${command} (${attachment}network ${config.name})`;
  return lockState(kernel, state.directory, doing, config.lockTimeoutMs);
}

/**
 * Takes the lock on the state directory itself, which needs no file and no space. Moves must not overlap: two at once
 * can swap the numbers of their uverbs devices, after the device plugin has handed those numbers to pods.
 *
 * @param doing what this process is about to do, for the errors of others
 * @throws {CniError} code 11 when the time is over
 */
export function lockState(
  kernel: LockKernel,
  directory: string,
  doing: string,
  timeoutMs: number,
): Disposable {
  const lock = kernel.lock(directory, timeoutMs);
  if (!lock) throw heldByAnother(directory, timeoutMs, readHolder(kernel, directory));
  const path = `${directory}/${HOLDER_FILE}`;
  const holder = { pid: Deno.pid, doing, sinceUs: kernel.getBootTimeUs() };
  // With a full disk the errors of others say less; nothing else depends on it.
  quietly(() => replaceFile(path, JSON.stringify(holder), 0o600));
  return {
    [Symbol.dispose]() {
      quietly(() => Deno.removeSync(path));
      lock[Symbol.dispose]();
    },
  };
}

/** Describes who has the lock, what for and how long, for people; undefined where it does not say. */
function readHolder(kernel: LockKernel, directory: string): string | undefined {
  return quietly(() => {
    const { pid, doing, sinceUs } = JSON.parse(Deno.readTextFileSync(`${directory}/${HOLDER_FILE}`));
    const here = kernel.findLockHolder(directory, pid);
    const who = here === undefined ? "a process in another PID namespace" : `process ${here}`;
    const seconds = (kernel.getBootTimeUs() - sinceUs) / 1_000_000;
    return `${who} has had it for ${seconds.toFixed(1)} s, for ${doing}`;
  });
}

function heldByAnother(directory: string, timeoutMs: number, holder = "another process has it"): CniError {
  return new CniError(
    ErrorCode.tryAgainLater,
    `Cannot lock ${JSON.stringify(directory)} within ${timeoutMs / 1000} s: ${holder}`,
    `"fuser -v ${directory}" shows the process and those that wait; the runtime will try again`,
  );
}
