// Random steps of a node's life, several at once, against a model of what must be true after each of them. A sequence
// that fails is shrunk to a short one.
import fc from "fast-check";
import { assertNothingLeft, assertQuiet, gc } from "../../rig/vm/guest/attachment.ts";
import { casesWith, sfs, vfs } from "../../rig/vm/guest/harness.ts";
import { NodeModel } from "../../rig/vm/guest/node_model.ts";
import { LONG, SEED } from "../../rig/vm/guest/options.ts";
import { SoakNode } from "../../rig/vm/guest/soak_node.ts";
import { AtOnce, Collect, End, Release, Start, type Step } from "../../rig/vm/guest/soak_steps.ts";

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
const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom("add" as const, "add" as const, "del" as const, "check" as const, "rebind" as const),
  pod: anyPod,
  device: fc.nat(vfs().length + sfs().length - 1),
});
const atOnce = fc.tuple(
  fc.uniqueArray(step, { selector: ({ device }) => device, minLength: 1, maxLength: WORKERS, size: "max" }),
  fc.integer({ min: 0, max: 3 }),
).map(([steps, gc]) => new AtOnce(steps, gc === 0));
const start = fc.nat(SLOTS - 1).map((slot) => new Start(slot));
const end = fc.tuple(anyPod, fc.boolean()).map(([pod, isHeld]) => new End(pod, isHeld));
const release = anyPod.map((pod) => new Release(pod));
const collect = fc.constant(new Collect());
const sequence = fc.commands<NodeModel, SoakNode, false>(
  [start, start, end, release, collect, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce],
  { maxCommands: LONGEST_SEQUENCE, size: "max" },
);

for (let number = 1; number <= CASES; number++) {
  const name = CASES === 1 ? "" : ` (${number} of ${CASES})`;
  vmCase(`faults: many steps, several at once, leave all as it must be${name}`, async () => {
    let [steps, sequences] = [0, 0];
    const property = fc.asyncProperty(sequence, async (commands) => {
      const node = new SoakNode();
      const model = new NodeModel([...vfs(), ...sfs()].map(({ deviceId }) => deviceId));
      try {
        await fc.asyncModelRun(() => ({ model, real: node }), commands);
        assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
        assertNothingLeft();
      } finally {
        await node.clear();
        steps += node.steps;
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
