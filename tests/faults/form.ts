/**
 * How long the tests of this directory try, and from where: `deno task test:faults [--long] [--seed N]`. The seed that
 * is printed leads to the same inputs again; an input that fails is shrunk to the smallest that does.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import fc from "fast-check";

const { values } = parseArgs({
  args: Deno.args,
  options: { long: { type: "boolean", default: false }, seed: { type: "string" } },
});

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!Number.isInteger(seed)) throw new Error(`Cannot start from seed "${values.seed}": want an integer`);

const file = fileURLToPath(Deno.mainModule).replace(`${Deno.cwd()}/`, "");
fc.configureGlobal({ seed });
console.log(`again: deno test -A ${file} -- ${values.long ? "--long " : ""}--seed ${seed}`);

/** How many inputs a property is tried with, in the short form and in the long one. */
export function runs(short: number, long: number): { numRuns: number } {
  return { numRuns: values.long ? long : short };
}
