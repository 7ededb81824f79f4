// Random steps of a node's life, several at once, against a model of what must be true after each of them. A sequence
// that fails is shrunk to a short one.
import fc from "fast-check";
import { assertNothingLeft, assertQuiet, casesWith, gc, sfs, vfs } from "../../rig/vm/guest/harness.ts";
import { LONG, SEED } from "../../rig/vm/guest/options.ts";
import { type Call, Soak, type Step } from "../../rig/vm/guest/soak.ts";

const vmCase = casesWith({ sets: ["concurrency"] });

/** In the long form 2,000 steps, as several cases that can be run one by one. */
const CASES = LONG ? 10 : 1;
const STEPS = LONG ? 200 : 30;
const LIMIT_MS = 90 * 60_000;
const LONGEST_SEQUENCE = 25;
const SLOTS = 4;
/** For a sequence and, when it fails, for making it shorter. */
const SEQUENCE_LIMIT_MS = 10 * 60_000;
/** How many calls are made at the same time. */
const WORKERS = 4;

const anyPod = fc.nat(11);
const call: fc.Arbitrary<Call> = fc.record({
  what: fc.constantFrom("add" as const, "add" as const, "del" as const, "check" as const, "rebind" as const),
  pod: anyPod,
  device: fc.nat(vfs().length + sfs().length - 1),
});
const ends = ["end", "lose the path of", "end the processes of", "end the processes of"] as const;
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ what: fc.constant("start" as const), slot: fc.nat(SLOTS - 1) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constantFrom(...ends), pod: anyPod }) },
  fc.constant({ what: "collect" }),
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constant("at once" as const),
      calls: fc.uniqueArray(call, {
        selector: ({ device }) => device,
        minLength: 1,
        maxLength: WORKERS,
        size: "max",
      }),
      withGc: fc.integer({ min: 0, max: 3 }).map((number) => number === 0),
    }),
  },
);
const sequence = fc.array(step, { maxLength: LONGEST_SEQUENCE, size: "max" });

for (let number = 1; number <= CASES; number++) {
  const name = CASES === 1 ? "" : ` (${number} of ${CASES})`;
  vmCase(`faults: many steps, several at once, leave all as it must be${name}`, async () => {
    let [steps, sequences] = [0, 0];
    const property = fc.asyncProperty(sequence, async (chosen) => {
      const node = new Soak();
      try {
        for (const one of chosen) await node.take(one);
        assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
        assertNothingLeft();
      } finally {
        await node.clear();
        steps += node.done;
      }
    });
    for (let seed = SEED + number * 1000; steps < STEPS; seed++, sequences++) {
      await fc.assert(property, {
        seed,
        numRuns: 1,
        includeErrorInReport: true,
        interruptAfterTimeLimit: SEQUENCE_LIMIT_MS,
        markInterruptAsFailure: true,
      });
    }
    return { seed: SEED, steps, sequences };
  }, { limitMs: LIMIT_MS });
}
