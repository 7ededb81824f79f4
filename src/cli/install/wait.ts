import { SyscallError } from "../../sys/errno.ts";
import { ifPresent } from "../../sys/files.ts";
import { awaitTermination, replaceProcess } from "../../sys/signals.ts";

/** A small static program that only waits, of the Debian package of that name. The image has it. */
const CATATONIT = "/usr/bin/catatonit";

/**
 * Waits for SIGTERM or SIGINT, which must be blocked. This process would keep some 26 MB for that, so catatonit takes
 * its place where it is installed. It ends with code 0.
 *
 * @returns only without catatonit, when a signal has come
 */
export function waitForTermination(): void {
  try {
    if (isWrittenByRootAlone(CATATONIT)) replaceProcess(CATATONIT, ["catatonit", "-P"]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
  awaitTermination();
}

/** Tells whether root alone can write to a file: what others can write to must not run as root. */
function isWrittenByRootAlone(path: string): boolean {
  const found = ifPresent(() => Deno.lstatSync(path));
  return found?.isFile === true && found.uid === 0 && ((found.mode ?? 0) & 0o022) === 0;
}
