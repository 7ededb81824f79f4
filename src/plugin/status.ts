import { CniError, ErrorCode } from "../cni/error.ts";
import { toCniError } from "./failure.ts";
import { requireExclusiveMode } from "./mode.ts";
import type { Node } from "./node.ts";

/**
 * Whether ADD could work: the RDMA subsystem can be asked and is in exclusive mode, records can be written.
 *
 * @throws {CniError} code 50 with all that is in the way
 */
export function status({ kernel, state }: Node): void {
  const faults = [() => requireExclusiveMode(kernel), () => kernel.assertWritable(existing(state.folder))]
    .map((test) => faultOf(test)).filter((fault) => fault !== undefined);
  if (faults.length === 0) return;
  throw new CniError(
    ErrorCode.unavailable,
    faults.map(({ message }) => message).join("; "),
    faults.map(({ details }) => details ?? "").join("; "),
  );
}

function faultOf(test: () => void): CniError | undefined {
  try {
    test();
    return undefined;
  } catch (error) {
    const known = toCniError(error);
    if (known instanceof CniError) return known;
    throw error;
  }
}

/** The folder itself, or the nearest one above it that is there. */
function existing(folder: string): string {
  try {
    if (Deno.statSync(folder).isDirectory) return folder;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return existing(folder.replace(/\/[^/]+$/, "") || "/");
    if (!(error instanceof Deno.errors.NotADirectory)) throw error;
  }
  throw new CniError(ErrorCode.ioFailure, `Cannot write to ${JSON.stringify(folder)}: it is no folder`);
}
