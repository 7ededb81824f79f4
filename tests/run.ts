import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build, parseBuildOptions } from "../deployment/build/build.ts";
import { installPackages } from "./rig/vm/node/packages.ts";
import { chooseTemporaryDirectory } from "./support/temporary_directory.ts";

interface Tier {
  name: string;
  /** Permissions of its tests; the unit tests get none, which keeps them pure. */
  flags: string[];
  /** It needs Debian packages: libmnl, strace, the simulated node's, buildah. */
  needsMachine: boolean;
  needsExecutable: boolean;
  /** Its tests need root; or the files of tests that do. */
  needsRoot: boolean | string[];
  /** It runs beside the others, since it takes as long as all of them and keeps one processor busy. */
  isBeside?: boolean;
}

/** Network namespaces, files that belong to another user, and a program that is installed for root alone. */
const FILES_FOR_ROOT = ["ffi", "install", "linux", "other_netns", "state"].map((name) =>
  `tests/files/${name}_test.ts`
);

const TIERS: Tier[] = [
  { name: "unit", flags: ["--no-prompt"], needsMachine: false, needsExecutable: false, needsRoot: false },
  {
    name: "files",
    flags: ["--allow-all"],
    needsMachine: true,
    needsExecutable: false,
    needsRoot: FILES_FOR_ROOT,
  },
  { name: "binary", flags: ["--allow-all"], needsMachine: true, needsExecutable: true, needsRoot: true },
  { name: "faults", flags: ["--allow-all"], needsMachine: true, needsExecutable: true, needsRoot: true },
  { name: "image", flags: ["--allow-all"], needsMachine: true, needsExecutable: false, needsRoot: true },
  {
    name: "vm",
    flags: ["--allow-all"],
    needsMachine: true,
    needsExecutable: true,
    needsRoot: true,
    isBeside: true,
  },
];

const NAMES = TIERS.map(({ name }) => name).join(", ");

const USAGE = `Usage: deno task test [--only TIER[,TIER...]]

Builds the executable, runs every tier of tests and ends with the line "N passed, N failed".

Options:
  --only TIER[,TIER...]  run these tiers only: ${NAMES}
  --help                 this text
`;

const IS_ROOT = Deno.uid() === 0;

const PROJECT = fileURLToPath(new URL("..", import.meta.url));

/** A tier that takes longer hangs: the longest, vm, ends by itself after 40 minutes and the time of a demo. */
const TIER_LIMIT_MS = 50 * 60_000;

interface Counts {
  passed: number;
  failed: number;
  ignored: number;
}

/** Adds up the suites of a JUnit report; test steps are cases of their own there. */
export function countCases(report: string): Counts {
  const counts = { passed: 0, failed: 0, ignored: 0 };
  const suite = /<testsuite name="[^"]*" tests="(\d+)" disabled="(\d+)" errors="(\d+)" failures="(\d+)"/g;
  for (const match of report.matchAll(suite)) {
    const [tests = 0, disabled = 0, errors = 0, failures = 0] = match.slice(1).map(Number);
    counts.passed += tests - disabled - errors - failures;
    counts.failed += errors + failures;
    counts.ignored += disabled;
  }
  return counts;
}

/**
 * Runs one tier. Whatever keeps its tests from being counted counts as one failure: a file that does not load, a process
 * that dies, a directory without tests.
 *
 * @param output where its output goes: a file, or straight through
 */
async function runTier({ name, flags, needsRoot }: Tier, reports: string, output?: string): Promise<Counts> {
  const report = `${reports}/${name}.xml`;
  const ignored = IS_ROOT || typeof needsRoot === "boolean" ? [] : [`--ignore=${needsRoot.join()}`];
  const test = [Deno.execPath(), "test", ...flags, ...ignored, `--junit-path=${report}`, `tests/${name}`];
  const args = ["-c", `exec "$@"${output ? ' >"$0" 2>&1' : ""}`, output ?? "", ...test];
  // Set here too, for a start without the task that sets it: a proxy's certificate is known to the system alone.
  const env = { DENO_TLS_CA_STORE: "system,mozilla" };
  const child = { args, env, cwd: PROJECT, stdin: "null", stdout: "inherit", stderr: "inherit" } as const;
  const process = new Deno.Command("sh", child).spawn();
  const timer = setTimeout(() => process.kill("SIGKILL"), TIER_LIMIT_MS);
  const { success, code, signal } = await process.status;
  clearTimeout(timer);

  const counts = countCases(await Deno.readTextFile(report).catch(() => ""));
  if (counts.passed + counts.failed === 0) {
    console.log(`Cannot count tier "${name}": no test ran to its end${signal ? `, ${signal} ended it` : ""}`);
    counts.failed = 1;
  } else if (!success && counts.failed === 0) {
    console.log(
      `Cannot trust tier "${name}": "deno test" exited with ${signal ?? code} though no test failed`,
    );
    counts.failed = 1;
  }
  return counts;
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

/** Installs and builds what the chosen tiers need, as far as it can, and returns those that can run then. */
async function prepareFor(tiers: Tier[]): Promise<Tier[]> {
  let able = tiers;
  const prepare = async (need: "needsMachine" | "needsExecutable", work: () => Promise<void>) => {
    if (!able.some((tier) => tier[need])) return;
    try {
      await work();
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
      able = able.filter((tier) => !tier[need]);
    }
  };
  await prepare("needsMachine", () => installPackages((line) => console.error(line)));
  await prepare("needsExecutable", () => build(parseBuildOptions([])));
  return able;
}

/** Returns whether every test of these tiers passed; the sum is the last line printed. */
async function runTiers(tiers: Tier[]): Promise<boolean> {
  const reports = await Deno.makeTempDir({ prefix: "rdma-cni-test-" });
  const results: [string, Counts][] = [];
  try {
    const able = await prepareFor(tiers);
    const run = async (tier: Tier, output?: string): Promise<Counts> =>
      able.includes(tier) ? await runTier(tier, reports, output) : { passed: 0, failed: 1, ignored: 0 };
    const beside = tiers.filter((tier) => tier.isBeside && tiers.length > 1).map((tier) => {
      console.log(`\n== ${tier.name} (beside the others, its output at the end)`);
      const output = `${reports}/${tier.name}.log`;
      return { tier, output, counts: run(tier, output) };
    });
    for (const tier of tiers.filter((tier) => !beside.some((one) => one.tier === tier))) {
      console.log(`\n== ${tier.name}`);
      results.push([tier.name, await run(tier)]);
    }
    for (const { tier, output, counts } of beside) {
      results.push([tier.name, await counts]);
      console.log(`\n== ${tier.name}\n${await Deno.readTextFile(output).catch(() => "")}`);
    }
  } finally {
    await Deno.remove(reports, { recursive: true });
  }
  console.log();
  for (const [name, { passed, failed, ignored }] of results) {
    console.log(`${name}: ${passed} passed, ${failed} failed${ignored ? `, ${ignored} ignored` : ""}`);
  }
  const sum = (key: "passed" | "failed") => results.reduce((total, [, counts]) => total + counts[key], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0;
}

/** Those of the tiers that can run without root, unless that is there. @throws {Error} if there are none */
function permittedTiers(tiers: Tier[]): Tier[] {
  if (IS_ROOT) return tiers;
  const permitted = tiers.filter(({ needsRoot }) => needsRoot !== true);
  const names = tiers.flatMap(({ name, needsRoot }) => needsRoot === true ? [name] : needsRoot || []);
  const line = `Not root: left out ${names.join(", ")}`;
  if (permitted.length === 0) throw new Error(line);
  if (names.length > 0) console.log(line);
  return permitted;
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
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return 2;
  }
  try {
    chooseTemporaryDirectory(PROJECT, (line) => console.error(line));
    return await runTiers(permittedTiers(tiers)) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.log("0 passed, 1 failed");
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
