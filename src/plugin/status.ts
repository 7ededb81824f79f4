import type { Call } from "./config/config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { mayGoWithout, toCniError } from "./errors.ts";
import { type Node, requireExclusiveMode } from "./node.ts";

/**
 * Makes sure that ADD could work: the RDMA subsystem can be asked and is in exclusive mode, or the configuration lets pods go
 * without, and records can be written.
 *
 * @throws {CniError} code 50 with all that is in the way
 */
export function status({ config }: Call, { kernel, state }: Node): void {
  const faults = [() => requireExclusiveMode(kernel), () => kernel.assertWritable(existing(state.directory))]
    .flatMap((test) => faultOf(test) ?? []).filter((fault) => !mayGoWithout(fault, config));
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

/** The directory itself, or the nearest one above it that is there. */
function existing(directory: string): string {
  try {
    if (Deno.statSync(directory).isDirectory) return directory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return existing(directory.replace(/\/[^/]+$/, "") || "/");
    if (!(error instanceof Deno.errors.NotADirectory)) throw error;
  }
  const message = `Cannot write to ${JSON.stringify(directory)}: it is not a directory`;
  throw new CniError(ErrorCode.ioFailure, message);
}
