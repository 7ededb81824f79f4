/**
 * The network configuration as a zod schema, made of the table of its keys. Loading zod takes longer than all the rest
 * of a call, so this module is loaded only to say what is wrong with a configuration, and for the JSON Schema.
 */
import * as z from "zod/mini";
import { KEYS } from "./keys.ts";
import { cutLists, describeRule, formatPath, type Key, type ObjectRule, type Rule } from "./rules.ts";

/** Makes a schema optional. */
type Optional = (schema: z.ZodMiniType) => z.ZodMiniType;

/**
 * Makes the schema.
 *
 * @param optional also allows null, unless another is given
 */
export function makeConfigSchema(optional: Optional = z.nullish): z.ZodMiniType {
  return toObject({ type: "object", keys: KEYS }, optional);
}

function toSchema(rule: Rule, optional: Optional): z.ZodMiniType {
  const words = { error: describeRule(rule) }; // in the place of zod's
  switch (rule.type) {
    case "boolean":
      return z.boolean(words);
    case "string":
      return rule.form ? z.string(words).check(z.regex(rule.form.pattern)) : z.string(words);
    case "integer":
      return z.int(words).check(z.gte(rule.min), ...rule.max === undefined ? [] : [z.lte(rule.max)]);
    case "enum":
      return z.enum(rule.values, words);
    case "list": {
      const list = z.array(toSchema(rule.items, optional), words);
      return rule.minItems === undefined ? list : list.check(z.minLength(rule.minItems));
    }
    case "either":
      return z.union(rule.options.map((option) => toSchema(option, optional)), words);
    case "object":
      return toObject(rule, optional);
  }
}

function toObject(rule: ObjectRule, optional: Optional): z.ZodMiniType {
  const shape = Object.entries(rule.keys).map(([name, key]) => [name, toKey(key, optional)] as const);
  return z.looseObject(Object.fromEntries(shape), { error: describeRule(rule) });
}

function toKey(key: Key, optional: Optional): z.ZodMiniType {
  const schema = toSchema(key, optional);
  const { description, default: fallback } = key;
  return (key.required ? schema : optional(schema)).register(z.globalRegistry, {
    ...(description === undefined ? {} : { description }),
    ...(fallback === undefined ? {} : { default: fallback }),
  });
}

/** The schema of what runtimes send. */
export const configSchema = makeConfigSchema();

const FAULTS_PER_LIST = 10;

/** A wrong value of a configuration, in words that begin with its path. */
interface ExplainedFault {
  readonly path: readonly PropertyKey[];
  readonly text: string;
}

/**
 * Explains what is wrong with the values of a configuration. zod would name every fault of a list, of which there can be a
 * million; of each list the first few are named.
 */
export function explainFaults(raw: Record<string, unknown>): ExplainedFault[] {
  const { error } = configSchema.safeParse(cutLists(raw, { type: "object", keys: KEYS }, FAULTS_PER_LIST));
  return error?.issues.flatMap(inside)
    .map(({ path, message }) => ({
      path,
      text: `${formatPath(path)}: ${message}, ${describeFound(raw, path)}`,
    })) ?? [];
}

/** The most characters of a value in a message. */
const VALUE_LENGTH = 40;

function describeFound(raw: Record<string, unknown>, path: readonly PropertyKey[]): string {
  const found = path.reduce((holder: unknown, key) => (holder as Record<PropertyKey, unknown>)[key], raw);
  if (found === undefined) return "but is missing";
  const text = JSON.stringify(found);
  return `but is ${text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH)}...` : text}`;
}

type Issue = Readonly<
  { path: readonly PropertyKey[]; message: string; errors?: readonly (readonly Issue[])[] }
>;

/** Returns the issues inside of an object where something else could be in its place; else the issue itself. */
function inside(issue: Issue): readonly Issue[] {
  const faults = issue.errors?.find((issues) => issues.every(({ path }) => typeof path[0] === "string"));
  return faults?.map(({ path, message }) => ({ path: [...issue.path, ...path], message })) ?? [issue];
}
