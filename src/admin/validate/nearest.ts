/** Deno std's distance between words. The package brings no types of its own. */
// @ts-types="./levenshtein_distance.d.ts"
import { levenshteinDistance } from "deno-std/text/levenshtein_distance.js";

/** The word that one was probably meant to be: at most a third of its letters differ. Undefined when none is near. */
export function findNearest(word: string, words: readonly string[]): string | undefined {
  const [best] = words.map((candidate) => {
    return { candidate, distance: levenshteinDistance(word.toLowerCase(), candidate.toLowerCase()) };
  }).sort((a, b) => a.distance - b.distance);
  return best && best.distance <= word.length / 3 ? best.candidate : undefined;
}
