// Runs all cases of the guest on the simulated node in one boot, each as a step. One case alone:
//   deno test -A tests/vm/vm_test.ts -- "part of its name"
// The cases "faults: " take all points and many steps with --long, and the random choices of an earlier run with
// --seed N. Another kernel than that of Debian 13 with --kernel 5.10, 6.1, 7.3 or 6.12-arm64; fewer cases
// with --set newest, middle, oldest or arm64, see tests/rig/vm/kernels.ts.
import { assert, assertEquals } from "../support/assert.ts";
import { parseArgs } from "node:util";
import { parseBuildOptions } from "../../deployment/build/build.ts";
import type { CaseCount, CaseResult, LeftOutCase } from "../rig/vm/guest/harness.ts";
import { bootNode, EmulatorCrash, tail } from "../rig/vm/node/boot.ts";
import { buildGuestProgram } from "../rig/vm/node/guest_program.ts";
import { prepareTestNode } from "../rig/vm/node/prepare.ts";
import { DEFAULT_SERIES, parseSeries } from "../rig/vm/node/series.ts";
import { SETS } from "../rig/vm/kernels.ts";

const {
  values: {
    long = false,
    seed = `${Math.trunc(Math.random() * 2 ** 31)}`,
    kernel,
    set = "all",
  },
  positionals: [part = ""],
} = parseArgs({
  args: Deno.args,
  options: {
    long: { type: "boolean" },
    seed: { type: "string" },
    kernel: { type: "string" },
    set: { type: "string" },
  },
  allowPositionals: true,
});
const SERIES = kernel === undefined ? DEFAULT_SERIES : parseSeries(kernel);
if (!SETS.includes(set)) {
  throw new Error(`Cannot run set ${JSON.stringify(set)}, expected one of ${SETS.join(", ")}`);
}
/** Beside other nodes one is better than two, which wait for each other. */
const PROCESSORS = ["all", "concurrency"].includes(set) ? 2 : 1;
/** QEMU's emulation of a processor crashes once in some sixty boots; the other cases then run in another boot. */
const BOOTS = 3;
const TIMEOUT_MS = (long ? 240 : 60) * 60_000;

/** Every file of cases, and last what runs them. */
function modules(): URL[] {
  const cases = new URL("cases/", import.meta.url);
  const names = [...Deno.readDirSync(cases)].map(({ name }) => name).filter((name) => name.endsWith(".ts"))
    .sort();
  return [...names.map((name) => new URL(name, cases)), new URL("guest_main.ts", import.meta.url)];
}

Deno.test("the plugin on a simulated node", async (t) => {
  const node = await prepareTestNode((line) => console.error(line), SERIES);
  const program = await buildGuestProgram(node, modules());
  const { output: executable } = parseBuildOptions(["--target", node.architecture.target]);
  console.error(`node: Linux ${node.kernel.release}, seed ${seed}`);
  let count: CaseCount | undefined;
  let done = 0;
  let steps: Promise<unknown> = Promise.resolve();
  const onLine = (line: string) => {
    const message: CaseResult | LeftOutCase | CaseCount = JSON.parse(line);
    if ("count" in message) {
      count = message;
      return;
    }
    done++;
    steps = steps.then(() => "leftOut" in message ? leaveOut(t, message) : step(t, message));
  };
  let status: number | undefined;
  let before = 0;
  for (let boots = 1; status === undefined; boots++) {
    before = done;
    const words = [seed, long ? "long" : "short", set, `${done}`, encodeURIComponent(part)];
    const command = [program, node.directory, executable, ...words];
    try {
      status = await bootNode(node, { command, processors: PROCESSORS, timeoutMs: TIMEOUT_MS, onLine });
    } catch (error) {
      if (!(error instanceof EmulatorCrash) || boots === BOOTS) throw error;
      console.error(`QEMU crashed after ${done} cases, the others run in another boot: ${error.message}`);
    }
  }
  await steps;
  if (status !== 0) {
    throw new Error(
      `The guest's program ended with status ${status}:\n${await tail(`${node.directory}/console.log`)}`,
    );
  }
  assert(count, "The guest's program ended without a count");
  assertEquals(count.count + count.leftOut, done - before, "Lines of the guest's program are missing");
  assert(count.count + count.leftOut > 0, "No case has such a name");
  console.error(
    `node: Linux ${node.kernel.release}: ${count.count} cases, ${count.failed} failed, ${count.leftOut} left out, ` +
      `the first ${count.bootMs} ms after the start of the kernel`,
  );
});

async function step(t: Deno.TestContext, { name, ok, error, ms, detail }: CaseResult): Promise<void> {
  await t.step(`${name} (${ms} ms${detail === undefined ? "" : `, ${JSON.stringify(detail)}`})`, () => {
    if (ok) return;
    console.error(error); // at once, since the report comes after the last case
    throw new Error(error);
  });
}

/** It counts neither as passed nor as failed. */
async function leaveOut(t: Deno.TestContext, { name, leftOut }: LeftOutCase): Promise<void> {
  await t.step({ name: `${name} (left out: ${leftOut})`, ignore: true, fn: () => {} });
}
