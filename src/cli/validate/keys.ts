/** Deno std's distance between words. The package brings no types of its own. */
// @ts-types="./levenshtein_distance.d.ts"
import { levenshteinDistance } from "deno-std/text/levenshtein_distance.js";
import { KEYS } from "../../plugin/config/keys.ts";
import { isObject, type Keys, objectRuleOf } from "../../plugin/config/rules.ts";

/** An object of a JSON or YAML text, about whose keys nothing is known. */
export type Raw = Readonly<Record<string, unknown>>;

/** A key that the plugin does not know, by its path, and the path that was probably meant. */
export interface UnknownKey {
  readonly key: string;
  readonly nearest?: string;
}

/** Keys of a plugin that the runtime reads (CNI 1.1 SPEC.md, section "Configuration format"). */
const RUNTIME_KEYS = ["capabilities", "dns", "ipam"];
/** Keys whose values others write, whatever is in them. */
const FOREIGN = ["runtimeConfig", "prevResult", "delegate"];
/** Objects shared with other plugins: unknown keys there may be theirs, unless they look like one of ours. */
const SHARED = ["args.", "args.cni.", "capabilities."];

/** The keys of this plugin's configuration, at any depth, that neither it nor the runtime knows. */
export function findUnknownKeys(config: Raw): UnknownKey[] {
  const { capabilities } = config;
  return [
    ...search(config, KEYS, ""),
    ...isObject(capabilities) ? listUnknown(capabilities, KEYS.runtimeConfig.keys, "capabilities.") : [],
  ];
}

function search(value: Raw, keys: Keys, prefix: string): UnknownKey[] {
  const inner = Object.entries(keys).filter(([name]) => prefix !== "" || !FOREIGN.includes(name));
  return [
    ...listUnknown(value, keys, prefix),
    ...inner.flatMap(([name, key]) => {
      const below = value[name];
      const rule = objectRuleOf(key);
      return rule && isObject(below) ? search(below, rule.keys, `${prefix}${name}.`) : [];
    }),
  ];
}

/** Keys with a "/" are somebody's own by the specification's rules. */
function listUnknown(value: Raw, keys: Keys, prefix: string): UnknownKey[] {
  const known = [...Object.keys(keys), ...prefix === "" ? RUNTIME_KEYS : []];
  return Object.keys(value).filter((key) => !known.includes(key) && !key.includes("/")).flatMap((key) => {
    const nearest = findNearest(key, known);
    if (nearest !== undefined) return [{ key: `${prefix}${key}`, nearest: `${prefix}${nearest}` }];
    if (isOurs(key)) return [{ key: `${prefix}${key}`, nearest: key }];
    return SHARED.includes(prefix) ? [] : [{ key: `${prefix}${key}` }];
  });
}

/** Keys that no other plugin has, such as rdmaQoS, which NVIDIA's documents show in args.cni: nobody reads it there. */
function isOurs(key: string): boolean {
  return key.startsWith("rdma") && Object.hasOwn(KEYS, key);
}

/** The word that one was probably meant to be: at most a third of its letters differ. Undefined when none is near. */
export function findNearest(word: string, words: readonly string[]): string | undefined {
  const limit = word.length / 3;
  // At least as many letters differ as one of them has more.
  const [best] = words.filter(({ length }) => Math.abs(length - word.length) <= limit).map((candidate) => {
    return { candidate, distance: levenshteinDistance(word.toLowerCase(), candidate.toLowerCase()) };
  }).sort((a, b) => a.distance - b.distance);
  return best && best.distance <= limit ? best.candidate : undefined;
}
