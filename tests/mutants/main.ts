import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { apply, type Mutant, mutantsOf } from "../support/mutants_of.ts";
import { timeFiles } from "../support/junit_report.ts";
import { findTests, type TestFile } from "../support/test_files.ts";

const USAGE = `Usage: deno task mutants [--count N] [--seed N] [--files PATTERN]...

Changes the source in many small ways, one at a time, and runs the unit and file tests on a copy, each time until the
first failure. A change that no test notices survives: its line lacks a test, or says nothing. Takes about ten seconds
for each that survives. Needs root: the tests see a file system that is read-only but for the copy.

Options:
  --count N        how many, chosen at random (default: 60)
  --seed N         where the choice begins; the same seed gives the same ones
  --files PATTERN  change these alone; * stands for any part of a path (default: src/*)
  --help           this text
`;

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** Nothing that a changed program does can reach beyond the directories that are named first. */
const CONFINE = `
for place in "$1" "$2"; do mount --bind "$place" "$place" || exit; done
mount --bind "$1/temporary" /var/tmp || exit
while read -r _ place _; do
  case $place in "$1" | "$2" | /proc | /var/tmp) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null ;; esac
done </proc/self/mounts
if [ -w / ] || [ -w /sys ]; then echo "Cannot make the file system read-only" >&2; exit 1; fi
cd "$1/project" && shift 2 && exec "$@"`;

interface Candidate extends Mutant {
  readonly file: string;
}

class Copy implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly #project = `${this.directory}/project`;
  readonly #report = `${this.directory}/report.xml`;
  readonly #denoDirectory =
    JSON.parse(new TextDecoder().decode(run(Deno.execPath(), "info", "--json"))).denoDir;

  constructor() {
    Deno.chmodSync(this.directory, 0o755); // tests run programs as other users
    Deno.mkdirSync(`${this.directory}/temporary`);
    Deno.mkdirSync(this.#project);
    const names = [...Deno.readDirSync(PROJECT)].map(({ name }) => name);
    const copied = names.filter((name) => ![".git", "dist", "node_modules"].includes(name));
    run("cp", "-r", ...copied.map((name) => PROJECT + name), this.#project);
  }

  readonly read = (file: string) => Deno.readTextFileSync(`${this.#project}/${file}`);

  write(file: string, text: string): void {
    Deno.writeTextFileSync(`${this.#project}/${file}`, text);
  }

  /** Runs tests to the first failure. @returns what failed, or undefined when all passed */
  async test(files: readonly string[], limitMs: number): Promise<string | undefined> {
    if (files.length === 0) return undefined;
    const child = new Deno.Command("nice", {
      args: [
        ...["-n", "19", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"],
        ...["sh", "-c", CONFINE, "sh", this.directory, this.#denoDirectory],
        ...[Deno.execPath(), "test", "--allow-all", "--no-check", "--fail-fast"],
        ...[`--junit-path=${this.#report}`, ...files],
      ],
      env: {
        TMPDIR: `${this.directory}/temporary`,
        npm_config_cache: `${this.directory}/temporary/npm`,
        NO_COLOR: "1",
      },
      ...{ stdin: "null", stdout: "piped", stderr: "piped" },
    }).spawn();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, limitMs);
    const { success, stdout, stderr } = await child.output();
    clearTimeout(timer);
    if (success) return undefined;
    if (isLate) return "the time limit";
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    return / => \.\/(tests\S+)/.exec(text)?.[1] ?? text.trim().split("\n").slice(-12).join("\n");
  }

  readonly times = (): Map<string, number> => timeFiles(Deno.readTextFileSync(this.#report));

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

function run(program: string, ...args: string[]): Uint8Array {
  const { success, stdout, stderr } = new Deno.Command(program, { args }).outputSync();
  if (!success) throw new Error(`Cannot run "${program}": ${new TextDecoder().decode(stderr).trim()}`);
  return stdout;
}

/** Always the same ones with the same seed (mulberry32). */
function choose(candidates: readonly Candidate[], count: number, seed: number): Candidate[] {
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return candidates.map((candidate) => ({ candidate, rank: random() }))
    .sort((a, b) => a.rank - b.rank).slice(0, count).map(({ candidate }) => candidate);
}

/** Makes an expression of a pattern, in which * stands for any part of a path. */
function toExpression(pattern: string): RegExp {
  const parts = pattern.split(/\*+/).map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`);
}

/** What a file takes before its first test, at most. */
const START_MS = 1000;

/** Tries a mutant on the tests that are nearest to its module, then on all others that reach it. */
async function tryMutant(
  copy: Copy,
  tests: readonly TestFile[],
  mutant: Candidate,
  times: ReadonlyMap<string, number>,
): Promise<{ killedBy: string | undefined; change: string }> {
  const { file, start, end } = mutant;
  const source = copy.read(file);
  const changed = apply(source, mutant);
  const reaching = tests.filter(({ distances }) => distances.has(file));
  const isNear = ({ distances }: TestFile) => distances.get(file)! <= 1;
  const run = (chosen: TestFile[]) => {
    const paths = chosen.map(({ path }) => path);
    const usualMs = paths.reduce((sum, path) => sum + START_MS + (times.get(path) ?? 0), 0);
    return copy.test(paths, 3 * usualMs + 10_000);
  };
  copy.write(file, changed);
  try {
    const killedBy = await run(reaching.filter(isNear)) ??
      await run(reaching.filter((test) => !isNear(test)));
    const change = linesAt("-", source, start, end) +
      linesAt("+", changed, start, end + changed.length - source.length);
    return { killedBy, change };
  } finally {
    copy.write(file, source);
  }
}

function linesAt(mark: string, text: string, start: number, end: number): string {
  const stop = text.indexOf("\n", end);
  const lines = text.slice(text.lastIndexOf("\n", start - 1) + 1, stop < 0 ? undefined : stop).split("\n");
  return lines.map((line) => `\n    ${mark} ${line.trim()}`).join("");
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: "string", default: "60" },
      seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
      files: { type: "string", multiple: true, default: ["src/*"] },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [count, seed] = [Number(values.count), Number(values.seed)];
  if (!(count > 0) || !Number.isInteger(seed)) {
    throw new Error("Cannot use --count or --seed: want whole numbers");
  }

  using copy = new Copy();
  const { sources, tests } = findTests(PROJECT);
  const expressions = values.files.map(toExpression);
  const all = sources.filter((file) => expressions.some((one) => one.test(file)))
    .flatMap((file) => mutantsOf(copy.read(file)).map((mutant) => ({ ...mutant, file })));
  if (all.length === 0) throw new Error(`Cannot find anything to change in ${values.files.join(", ")}`);

  const failure = await copy.test(tests.map(({ path }) => path), 60 * 60_000);
  if (failure !== undefined) throw new Error(`Cannot judge mutants: a test fails without any: ${failure}`);
  const times = copy.times();

  const chosen = choose(all, count, seed);
  let killed = 0;
  for (const mutant of chosen) {
    const { killedBy, change } = await tryMutant(copy, tests, mutant, times);
    if (killedBy !== undefined) killed++;
    const [outcome, by] = killedBy === undefined
      ? ["SURVIVED", ""]
      : ["killed  ", ` (${killedBy.split("\n")[0]})`];
    console.log(`${outcome} ${mutant.file}:${mutant.line} ${mutant.what}${by}${change}`);
  }
  const percent = Math.round(100 * killed / chosen.length);
  console.log(
    `\n${killed} of ${chosen.length} killed (${percent} %), of ${all.length} possible; --seed ${seed}`,
  );
  return 0;
}

main(Deno.args).then((code) => Deno.exit(code), (error) => {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
});
