import type { Kernel } from "../kernel/kernel.ts";
import type { DeviceIndexes } from "./device_indexes.ts";
import type { State } from "./state.ts";

/** What a call works on: the kernel of this node and what is kept on it. */
export interface Node {
  readonly kernel: Kernel;
  readonly state: State;
  readonly indexes: DeviceIndexes;
}
