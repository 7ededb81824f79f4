import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build, parseBuildOptions } from "../deployment/build.ts";
import { installPackages } from "./vm/node/packages.ts";

interface Tier {
  name: string;
  /** Permissions of its tests; the unit tests get none, which keeps them pure. */
  flags: string[];
  /** It needs Debian packages: libmnl, strace, the simulated node's, buildah. */
  needsMachine: boolean;
  needsExecutable: boolean;
}

const TIERS: Tier[] = [
  { name: "unit", flags: ["--no-prompt"], needsMachine: false, needsExecutable: false },
  { name: "files", flags: ["--allow-all"], needsMachine: true, needsExecutable: false },
  { name: "binary", flags: ["--allow-all"], needsMachine: true, needsExecutable: true },
  { name: "faults", flags: ["--allow-all"], needsMachine: true, needsExecutable: true },
  { name: "image", flags: ["--allow-all"], needsMachine: true, needsExecutable: false },
  { name: "vm", flags: ["--allow-all"], needsMachine: true, needsExecutable: true },
];

const NAMES = TIERS.map(({ name }) => name).join(", ");

const USAGE = `Usage: deno task test [--only TIER[,TIER...]]

Builds the executable, runs every tier of tests and ends with the line "N passed, N failed".

Options:
  --only TIER[,TIER...]  run these tiers only: ${NAMES}
  --help                 this text
`;

const PROJECT = fileURLToPath(new URL("..", import.meta.url));

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
 * Runs one tier, its output passing straight through. Whatever keeps its tests from being counted counts as one
 * failure: a file that does not load, a process that dies, a folder without tests.
 */
async function runTier({ name, flags }: Tier, reports: string): Promise<Counts> {
  console.log(`\n== ${name}`);
  const report = `${reports}/${name}.xml`;
  const args = ["test", ...flags, `--junit-path=${report}`, `tests/${name}`];
  // Set here too, for a start without the task that sets it: a proxy's certificate is known to the system alone.
  const env = { DENO_TLS_CA_STORE: "system,mozilla" };
  const child = { args, env, cwd: PROJECT, stdin: "null", stdout: "inherit", stderr: "inherit" } as const;
  const { success, code } = await new Deno.Command(Deno.execPath(), child).spawn().status;

  const counts = countCases(await Deno.readTextFile(report).catch(() => ""));
  if (counts.passed + counts.failed === 0) {
    console.log(`Cannot count tier "${name}": no test ran`);
    counts.failed = 1;
  } else if (!success && counts.failed === 0) {
    console.log(`Cannot trust tier "${name}": "deno test" exited with ${code} though no test failed`);
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

/** Installs and builds what the chosen tiers need; false when that failed. */
async function prepareFor(tiers: Tier[]): Promise<boolean> {
  if (!tiers.some((tier) => tier.needsMachine)) return true;
  try {
    await installPackages((line) => console.error(line));
    if (tiers.some((tier) => tier.needsExecutable)) await build(parseBuildOptions([]));
    return true;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return false;
  }
}

/** Returns whether every test of these tiers passed; the sum is the last line printed. */
async function runTiers(tiers: Tier[]): Promise<boolean> {
  const reports = await Deno.makeTempDir({ prefix: "rdma-cni-test-" });
  const results: [string, Counts][] = [];
  try {
    const prepared = await prepareFor(tiers);
    for (const tier of tiers) {
      const canRun = prepared || !tier.needsMachine;
      results.push([tier.name, canRun ? await runTier(tier, reports) : { passed: 0, failed: 1, ignored: 0 }]);
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
  return await runTiers(tiers) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
