/** What the person who runs the tests asked for: arguments of the guest's program after those of programs.ts. */
const [, , seed, length] = Deno.args;

/** Where random choices begin; the same seed gives the same choices. */
export const SEED = Number(seed);
if (!Number.isSafeInteger(SEED)) throw new Error(`Cannot use seed ${JSON.stringify(seed)}: it is no integer`);
/** Whether to try everything, however long that takes, instead of a sample. */
export const LONG = length === "long";
