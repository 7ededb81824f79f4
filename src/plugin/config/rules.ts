/** Rules for JSON values, as data. The fast checks here and the zod schema come from the same rules. */

export type Rule =
  | { readonly type: "boolean" }
  | { readonly type: "string"; readonly form?: Form }
  | { readonly type: "integer"; readonly min: number; readonly max?: number }
  | { readonly type: "enum"; readonly values: readonly string[] }
  | { readonly type: "list"; readonly items: Rule; readonly minItems?: number }
  | { readonly type: "either"; readonly options: readonly Rule[]; readonly text: string }
  | ObjectRule;

/** A pattern, and in words what it asks for, as in "must be ...". */
export interface Form {
  readonly pattern: RegExp;
  readonly text: string;
}

export interface ObjectRule {
  readonly type: "object";
  readonly keys: Keys;
}

/** A key of an object. Go's decoders take null for absent, so runtimes may send it for a key that is not required. */
export type Key = Rule & {
  readonly required?: true;
  readonly default?: unknown;
  /** The first version of this plugin that has the key; not for keys that CNI defines. */
  readonly since?: string;
  /** For people, as Markdown. */
  readonly description?: string;
};

export interface Keys {
  readonly [name: string]: Key;
}

/** The values that a rule allows. */
export type ValueOf<R, Null = null> = R extends { type: "boolean" } ? boolean
  : R extends { type: "string" } ? string
  : R extends { type: "integer" } ? number
  : R extends { type: "enum"; values: readonly (infer V)[] } ? V
  : R extends { type: "list"; items: infer I } ? readonly ValueOf<I, Null>[]
  : R extends { type: "either"; options: readonly (infer O)[] } ? ValueOf<O, Null>
  : R extends { type: "object"; keys: infer K } ? ObjectOf<K, Null>
  : never;

type Required<K> = { [N in keyof K]: K[N] extends { required: true } ? N : never }[keyof K];

/** The objects that have these keys. */
export type ObjectOf<K, Null = null> =
  & { readonly [N in Required<K>]: ValueOf<K[N], Null> }
  & { readonly [N in Exclude<keyof K, Required<K>>]?: ValueOf<K[N], Null> | Null };

/** A value that is not what it must be: `holder[key]`. */
export interface Fault {
  readonly holder: Record<string, unknown>;
  readonly key: string;
  /** The keys on the way to the holder. */
  readonly path: readonly string[];
}

/** All that is wrong in an object. Objects are wrong key by key, unless other values may be in their place. */
export function findFaults(
  holder: Record<string, unknown>,
  keys: Keys,
  path: readonly string[] = [],
): Fault[] {
  return Object.entries(keys).flatMap(([key, rule]) => {
    const value = holder[key];
    if (rule.type === "object" && isObject(value)) {
      return findFaults(value, rule.keys, [...path, key]);
    }
    return isValidAt(value, rule) ? [] : [{ holder, key, path }];
  });
}

/** A value is not what it must be. */
export class ValueError extends Error {
  override readonly name = "ValueError";
}

/**
 * Returns an object with these keys alone. Null is not absent here.
 *
 * @throws {ValueError} that names the first value which is wrong by its path
 */
export function readObject<const K extends Keys>(
  holder: Record<string, unknown>,
  keys: K,
  path: readonly PropertyKey[] = [],
): ObjectOf<K, never> {
  const known = Object.entries(keys).filter(([name, key]) => key.required || holder[name] !== undefined);
  const entries = known.map(([name, key]) => [name, read(holder[name], key, [...path, name])]);
  return Object.fromEntries(entries);
}

function read(value: unknown, rule: Rule, path: readonly PropertyKey[]): unknown {
  if (rule.type === "object" && isObject(value)) return readObject(value, rule.keys, path);
  if (rule.type === "list" && Array.isArray(value)) {
    return value.map((item, at) => read(item, rule.items, [...path, at]));
  }
  if (rule.type !== "object" && rule.type !== "list" && isValid(value, rule)) return value;
  throw new ValueError(`${JSON.stringify(formatPath(path))} ${describeRule(rule)}`);
}

/** Says what a rule asks for, as in "must be ...". */
export function describeRule(rule: Rule): string {
  switch (rule.type) {
    case "boolean":
      return "must be true or false";
    case "string":
      return rule.form?.text ?? "must be a string";
    case "integer":
      return `must be an integer from ${rule.min}${rule.max === undefined ? "" : ` to ${rule.max}`}`;
    case "enum": {
      const values = rule.values.map((value) => `"${value}"`);
      return `must be ${values.slice(0, -1).join(", ")} or ${values.at(-1)}`;
    }
    case "list":
      return rule.minItems === undefined
        ? "must be a list"
        : `must be a list of ${rule.minItems} or more items`;
    case "either":
      return rule.text;
    case "object":
      return "must be an object";
  }
}

function isValid(value: unknown, rule: Rule): boolean {
  switch (rule.type) {
    case "boolean":
      return typeof value === "boolean";
    case "string":
      return typeof value === "string" && (!rule.form || rule.form.pattern.test(value));
    case "integer":
      return Number.isSafeInteger(value) && Number(value) >= rule.min &&
        Number(value) <= (rule.max ?? Infinity);
    case "enum":
      return (rule.values as readonly unknown[]).includes(value);
    case "list":
      return Array.isArray(value) && value.length >= (rule.minItems ?? 0) &&
        value.every((item) => isValid(item, rule.items));
    case "either":
      return rule.options.some((option) => isValid(value, option));
    case "object":
      return isObject(value) &&
        Object.entries(rule.keys).every(([name, key]) => isValidAt(value[name], key));
  }
}

function isValidAt(value: unknown, key: Key): boolean {
  return isAbsent(value) ? !key.required : isValid(value, key);
}

/** The rule for objects that a value may be, if it may be one. */
export function objectRuleOf(rule: Rule): ObjectRule | undefined {
  if (rule.type === "either") return rule.options.find((option) => option.type === "object");
  return rule.type === "object" ? rule : undefined;
}

/** The value without the end of lists that have faults: as many items stay after the first wrong one as are named. */
export function cutLists(value: unknown, rule: Rule, faultsNamed: number): unknown {
  if (rule.type === "either") {
    return rule.options.reduce((cut, option) => cutLists(cut, option, faultsNamed), value);
  }
  if (rule.type === "list" && Array.isArray(value)) {
    const first = value.findIndex((item) => !isValid(item, rule.items));
    return first < 0 ? value : value.slice(0, first + faultsNamed);
  }
  if (rule.type !== "object" || !isObject(value)) return value;
  const known = Object.entries(rule.keys).filter(([name]) => Object.hasOwn(value, name));
  const cut = known.map(([name, key]) => [name, cutLists(value[name], key, faultsNamed)]);
  return { ...value, ...Object.fromEntries(cut) };
}

export function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

/** Returns whether a value of JSON is an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A path as people write it: `args.cni.debug`, `prevResult.interfaces[0].name`, `["cni.dev/attachments"][1].ifname`. */
export function formatPath(path: readonly PropertyKey[]): string {
  const parts = path.map((key) => {
    if (typeof key === "number") return `[${key}]`;
    const name = String(key);
    return /^\w+$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
  });
  return parts.join("").replace(/^\./, "");
}
