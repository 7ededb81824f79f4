/** What is used of js-yaml, which brings no types. */

export interface State {
  readonly position: number;
  /** Of the node that is closed; null for aliases and for nothing. */
  readonly kind: "scalar" | "sequence" | "mapping" | null;
  readonly result: unknown;
}

export interface Options {
  /** Whether a key may be there twice. */
  readonly json: boolean;
  readonly maxDepth: number;
  readonly listener: (event: "open" | "close", state: State) => void;
}

export class YAMLException extends Error {
  readonly reason: string;
  readonly mark?: { readonly position: number };
}

/** @throws {YAMLException} when the text is not YAML */
export function loadAll(text: string, iterator: null, options: Options): unknown[];

/** @throws {YAMLException} when a value has no form in YAML, as a function */
export function dump(value: unknown, options: { readonly lineWidth: number }): string;
