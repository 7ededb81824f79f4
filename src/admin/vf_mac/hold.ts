import { takeLock } from "../../plugin/lock.ts";
import type { VfNode } from "./find.ts";

/**
 * Takes the lock that the plugin holds while it moves devices, so that neither sees the other's work half done.
 *
 * @throws {CniError} when a call of the plugin has it for 30 seconds, or the folder cannot be made
 */
export function lockPlugin({ kernel, state }: VfNode): Disposable {
  state.create();
  return takeLock(kernel, state.folder);
}
