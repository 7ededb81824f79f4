export { isObject } from "../../cni/config.ts";

/** An object of a JSON or YAML text, about whose keys nothing is known. */
export type Raw = Readonly<Record<string, unknown>>;
