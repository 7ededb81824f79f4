import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build, parseBuildOptions } from "../deployment/build/build.ts";
import type { Target } from "../deployment/build/runtime_stub.ts";
import { messageOf } from "../src/sys/errno.ts";
import { installPackages, PACKAGES_FOR_TESTS } from "./rig/vm/node/packages.ts";
import { prepareTestNode } from "./rig/vm/node/prepare.ts";
import { DEFAULT_SERIES, type Series, sourceOf } from "./rig/vm/node/series.ts";
import { countCases, type Counts, listFailures } from "./support/junit_report.ts";
import { findMissingRight } from "./support/rights.ts";
import { chooseTemporaryDirectory } from "./support/temporary_directory.ts";

interface Tier {
  name: string;
  /** Permissions of its tests; the unit tests get none, which keeps them pure. */
  flags: string[];
  /** Directory or file of its tests; `tests/NAME` unless told. */
  tests?: string;
  /** It needs Debian packages: libmnl, strace, the simulated node's, buildah. */
  needsMachine?: boolean;
  needsExecutable?: boolean;
  /** Its tests need root; or the files of tests that do. */
  needsRoot?: boolean | string[];
  /** The kernel of the simulated node that its cases run on. */
  kernel?: Series;
  /** Processor architectures whose executables it tests; that of its kernel unless told. */
  targets?: Target[];
  /** More arguments for its tests. */
  args?: string[];
}

/** Namespaces, files that belong to another user, what is installed, and a run of all tiers. */
const FILES_FOR_ROOT = [
  ...["ffi", "install", "install_launcher", "kernel_facts", "launcher_agent", "linux", "lock"],
  ...["other_netns", "run", "state"],
].map((name) => `tests/files/${name}_test.ts`);

const ALL = { flags: ["--allow-all"], needsMachine: true, needsExecutable: true, needsRoot: true };
const NODE = { ...ALL, tests: "tests/vm/vm_test.ts" };

/** Started in this order: what fails soonest beside the longest, and at the end short ones, so that all end together. */
const TIERS: Tier[] = [
  { ...ALL, name: "vm", kernel: DEFAULT_SERIES, args: ["--set", "plugin"] },
  { name: "unit", flags: ["--no-prompt"] },
  { name: "files", flags: ["--allow-all"], needsMachine: true, needsRoot: FILES_FOR_ROOT },
  {
    name: "deployment",
    flags: ["--allow-all"],
    needsMachine: true,
    needsRoot: ["tests/deployment/apt_test.ts"],
  },
  { ...ALL, name: "binary" },
  { ...ALL, name: "faults" },
  { ...NODE, name: "vm-surroundings", kernel: DEFAULT_SERIES, args: ["--set", "surroundings"] },
  { ...NODE, name: "vm-agent", kernel: DEFAULT_SERIES, args: ["--set", "agent"] },
  { ...ALL, name: "image", needsExecutable: false },
  { ...ALL, name: "packages", targets: [Deno.build.arch, "aarch64"] },
  { ...NODE, name: "vm-7.3", kernel: "7.3", args: ["--set", "newest"] },
  { ...NODE, name: "vm-concurrency", kernel: DEFAULT_SERIES, args: ["--set", "concurrency"] },
  { ...NODE, name: "vm-6.1", kernel: "6.1", args: ["--set", "middle"] },
  { ...NODE, name: "vm-5.10", kernel: "5.10", args: ["--set", "oldest"] },
  { ...NODE, name: "vm-arm64", kernel: "6.12-arm64", args: ["--set", "arm64"] },
];

const NAMES = TIERS.map(({ name }) => name).join(", ");

const USAGE = `Usage: deno task test [--only TIER[,TIER...]]

Builds the executable, runs the tiers of tests and ends with the line "N passed, N failed", in which a tier that cannot
run counts as one failure. Takes about 17 minutes on two processors.

Options:
  --only TIER[,TIER...]  run these tiers only: ${NAMES}
  --help                 this text
`;

const MISSING_RIGHT = findMissingRight();

const PROJECT = fileURLToPath(new URL("..", import.meta.url));

/** A tier that takes longer hangs: the longest, vm, ends by itself after an hour and the time of a demo. */
const TIER_LIMIT_MS = 70 * 60_000;

/** One more than processors are asked for, since a simulated node waits a sixth of its time. */
const AT_ONCE = 3;

/** How a tier ended. */
interface Result extends Counts {
  /** Names of the tests that failed, each with the reason. */
  failures: string[];
}

/**
 * Runs one tier. Whatever keeps its tests from being counted counts as one failure: a file that does not load, a process
 * that dies, a directory without tests.
 */
async function runTier(
  { name, flags, tests, needsRoot, kernel, args = [] }: Tier,
  reports: string,
): Promise<Result> {
  const report = `${reports}/${name}.xml`;
  const forRoot = MISSING_RIGHT && typeof needsRoot === "object" ? needsRoot : [];
  if (forRoot.length > 0) {
    console.log(`${name} | left out, since they need ${MISSING_RIGHT}: ${forRoot.join(", ")}`);
  }
  const own = kernel === undefined ? args : ["--kernel", kernel, ...args];
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--no-check",
      ...flags,
      ...(forRoot.length > 0 ? [`--ignore=${forRoot.join()}`] : []),
      `--junit-path=${report}`,
      tests ?? `tests/${name}`,
      "--",
      ...own,
    ],
    // Set here too, for a start without the task that sets it: a proxy's certificate is known to the system alone.
    env: { DENO_TLS_CA_STORE: "system,mozilla" },
    cwd: PROJECT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => process.kill("SIGKILL"), TIER_LIMIT_MS);
  const printed = Promise.all([process.stdout, process.stderr].map((stream) => printLines(name, stream)));
  const { success, code, signal } = await process.status;
  clearTimeout(timer);
  await Promise.race([printed, delay(5000)]); // a process that a test left behind may keep them open

  const text = await Deno.readTextFile(report).catch(() => "");
  const result = { ...countCases(text), failures: listFailures(text) };
  const fail = (reason: string) => Object.assign(result, { failed: 1, failures: [reason] });
  if (result.passed + result.failed === 0) {
    fail(`no test ran to its end${signal ? `, ${signal} ended it` : ""}`);
  } else if (!success && result.failed === 0) {
    fail(`"deno test" exited with ${signal ?? code} though no test failed`);
  }
  return result;
}

/** Prints what a tier writes, with its name before each line, since another one runs beside it. */
async function printLines(name: string, stream: ReadableStream<Uint8Array>): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) console.log(`${name} | ${line}`);
  }
  if (rest !== "") console.log(`${name} | ${rest}`);
}

function chosenTiers(only: string | undefined): Tier[] {
  if (only === undefined) return TIERS;
  const names = only.split(",");
  const unknown = names.find((name) => !TIERS.some((tier) => tier.name === name));
  if (unknown !== undefined) {
    throw new Error(`Cannot run tier "${unknown}", wanted one of ${NAMES}`);
  }
  return TIERS.filter((tier) => names.includes(tier.name));
}

/** The processor architectures of the executables that a tier tests. */
function targetsOf({ kernel, targets }: Tier): Target[] {
  return targets ?? [kernel === undefined ? Deno.build.arch : sourceOf(kernel).architecture.target];
}

/** Why a tier cannot run; undefined when it can. */
type Preparation = Promise<string | undefined>;

/**
 * Installs and builds what the tiers need, as far as it can, one thing after the other: what the first tiers need comes
 * first. Nothing is prepared for tiers that cannot run without root.
 */
function prepareFor(all: Tier[]): Map<Tier, Preparation> {
  const isPermitted = ({ needsRoot }: Tier) => !MISSING_RIGHT || needsRoot !== true;
  const preparations = new Map<Tier, Preparation>(
    all.map((tier) => [tier, Promise.resolve(isPermitted(tier) ? undefined : `it needs ${MISSING_RIGHT}`)]),
  );
  const tiers = all.filter(isPermitted);
  const progress = (line: string) => console.error(line);
  let last: Promise<unknown> = Promise.resolve();
  const prepare = (isFor: (tier: Tier) => unknown, work: () => Promise<unknown>) => {
    const waiting = tiers.filter(isFor);
    if (waiting.length === 0) return;
    const outcome = last = last.then(work).then(() => undefined, messageOf);
    for (const tier of waiting) {
      const before = preparations.get(tier)!;
      preparations.set(tier, outcome.then(async (reason) => await before ?? reason));
    }
  };
  prepare((tier) => tier.needsMachine, () => installPackages(PACKAGES_FOR_TESTS, progress));
  const [target, ...others] = new Set(tiers.flatMap(targetsOf));
  const buildFor = (target: Target) =>
    prepare(
      (tier) => tier.needsExecutable && targetsOf(tier).includes(target),
      () => build(parseBuildOptions(["--target", target])),
    );
  if (target) buildFor(target);
  for (const series of new Set(tiers.flatMap(({ kernel = [] }) => kernel))) {
    prepare((tier) => tier.kernel === series, () => prepareTestNode(progress, series));
  }
  others.forEach(buildFor);
  return preparations;
}

/**
 * Runs the tiers, some at a time.
 *
 * @returns whether all of them ran and every test passed; the sum is the last line printed
 */
async function runTiers(tiers: Tier[]): Promise<boolean> {
  const reports = await Deno.makeTempDir({ prefix: "rdma-cni-test-" });
  const preparations = prepareFor(tiers);
  const results = new Map<Tier, Result>();
  const notRun: string[] = [];
  try {
    const waiting = [...tiers];
    const work = async () => {
      for (let tier = waiting.shift(); tier; tier = waiting.shift()) {
        if (await preparations.get(tier) !== undefined) continue;
        console.log(`== ${tier.name} begins`);
        results.set(tier, await runTier(tier, reports));
        console.log(`== ${tier.name} ${formatCounts(results.get(tier)!)}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    await Deno.remove(reports, { recursive: true });
  }
  console.log();
  const total: Counts = { passed: 0, failed: 0, ignored: 0 };
  for (const tier of tiers) {
    const result = results.get(tier);
    if (!result) {
      console.log(`${tier.name}: did not run: ${await preparations.get(tier)}`);
      notRun.push(tier.name);
      total.failed++;
      continue;
    }
    for (const failure of result.failures) console.log(`${tier.name}: FAILED: ${failure}`);
    console.log(`${tier.name}: ${formatCounts(result)}`);
    total.passed += result.passed;
    total.failed += result.failed;
  }
  if (notRun.length > 0) {
    console.log(
      `${notRun.length} of ${tiers.length} tiers did not run, each a failure: ${notRun.join(", ")}`,
    );
  }
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0;
}

function formatCounts({ passed, failed, ignored }: Counts): string {
  return `${passed} passed, ${failed} failed${ignored ? `, ${ignored} left out` : ""}`;
}

/** The command line; returns the exit code. */
async function main(args: string[]): Promise<number> {
  let tiers: Tier[];
  try {
    const { values } = parseArgs({ args, options: { only: { type: "string" }, help: { type: "boolean" } } });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    tiers = chosenTiers(values.only);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    return 2;
  }
  try {
    chooseTemporaryDirectory(PROJECT, (line) => console.error(line));
    return await runTiers(tiers) ? 0 : 1;
  } catch (error) {
    console.error(messageOf(error));
    console.log("0 passed, 1 failed");
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
