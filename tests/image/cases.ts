import type { Engine } from "./engine.ts";

/** What is tried, by what ought to be so. */
export type Cases = Record<string, (engine: Engine) => Promise<void>>;
