/** Deno std's distance between words. The package brings no types of its own. */
// @ts-types="./levenshtein_distance.d.ts"
import { levenshteinDistance } from "deno-std/text/levenshtein_distance.js";
import type * as z from "zod/mini";
import { isObject } from "../../plugin/config.ts";

/** An object of a JSON or YAML text, about whose keys nothing is known. */
export type Raw = Readonly<Record<string, unknown>>;

/** A key that the plugin does not know, by its path, and the path that was probably meant. */
export interface UnknownKey {
  readonly key: string;
  readonly nearest?: string;
}

export type Shape = z.core.$ZodShape;

/** Keys of a plugin that the runtime reads (CNI 1.1 SPEC.md, section "Configuration format"). */
const RUNTIME_KEYS = ["capabilities", "dns", "ipam"];
/** What others write, whatever is in it. */
const FOREIGN = ["runtimeConfig", "prevResult"];
/** What is shared with other plugins: unknown keys there may be theirs, unless they look like one of ours. */
const SHARED = ["args.", "args.cni.", "capabilities."];

/**
 * The keys of this plugin's configuration, at any depth, that neither it nor the runtime knows.
 *
 * @param shape what the plugin knows
 */
export function findUnknownKeys(config: Raw, shape: Shape): UnknownKey[] {
  const { capabilities } = config;
  return [
    ...search(config, shape, ""),
    ...isObject(capabilities)
      ? compare(capabilities, shapeOf(shape["runtimeConfig"]!)!, "capabilities.")
      : [],
  ];
}

function search(value: Raw, shape: Shape, prefix: string): UnknownKey[] {
  const inner = Object.entries(shape).filter(([key]) => prefix !== "" || !FOREIGN.includes(key));
  return [
    ...compare(value, shape, prefix),
    ...inner.flatMap(([key, schema]) => {
      const [below, belowShape] = [value[key], shapeOf(schema)];
      return belowShape && isObject(below) ? search(below, belowShape, `${prefix}${key}.`) : [];
    }),
  ];
}

/** Keys with a "/" are somebody's own by the specification's rules. */
function compare(value: Raw, shape: Shape, prefix: string): UnknownKey[] {
  const known = [...Object.keys(shape), ...prefix === "" ? RUNTIME_KEYS : []];
  return Object.keys(value).filter((key) => !known.includes(key) && !key.includes("/")).flatMap((key) => {
    const nearest = findNearest(key, known);
    if (nearest !== undefined) return [{ key: `${prefix}${key}`, nearest: `${prefix}${nearest}` }];
    return SHARED.includes(prefix) ? [] : [{ key: `${prefix}${key}` }];
  });
}

/** The keys of an object's schema, which may be optional and nullable around it; undefined for values of other kinds. */
function shapeOf(schema: z.core.$ZodType): Shape | undefined {
  const { innerType, shape } = schema._zod.def as { innerType?: z.core.$ZodType; shape?: Shape };
  return innerType ? shapeOf(innerType) : shape;
}

/** The word that one was probably meant to be: at most a third of its letters differ. Undefined when none is near. */
export function findNearest(word: string, words: readonly string[]): string | undefined {
  const [best] = words.map((candidate) => {
    return { candidate, distance: levenshteinDistance(word.toLowerCase(), candidate.toLowerCase()) };
  }).sort((a, b) => a.distance - b.distance);
  return best && best.distance <= word.length / 3 ? best.candidate : undefined;
}
