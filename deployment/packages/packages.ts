/** Builds the packages for Debian and for distributions with RPM: each for x86_64 and aarch64, on either. */
import { messageOf } from "../../src/sys/errno.ts";
import { build, parseBuildOptions } from "../build/build.ts";
import { PROJECT } from "../build/child.ts";
import { readTime } from "../build/commit.ts";
import { buildDeb } from "./deb.ts";
import { buildRpm } from "./rpm.ts";
import { type Job, writeTree } from "./tree.ts";

const USAGE = `Usage: deno task packages

Builds the executables for x86_64 and aarch64, and of each makes a package for Debian and one for distributions with RPM,
in dist/packages. This needs Debian's packages dpkg and rpm.

Its maintainer is who DEBFULLNAME and DEBEMAIL name, the variables of Debian's own tools.

All times in the packages are that of the commit, or SOURCE_DATE_EPOCH (seconds since 1970), so that the same sources give
the same packages.
`;

/** The directory for the packages. */
const OUTPUT = `${PROJECT}dist/packages`;

interface PackageOptions extends Omit<Job, "tree" | "directory"> {
  /** The executable, with its bill of materials and its licences beside it. */
  executable: string;
  /** An executable that this machine can run. */
  runnable: string;
}

/**
 * Makes both packages of an executable.
 *
 * @returns their paths
 * @throws {Error} with what a tool said
 */
export async function buildPackages(
  { executable, runnable, ...options }: PackageOptions,
): Promise<{ deb: string; rpm: string }> {
  await Deno.mkdir(options.output, { recursive: true });
  const directory = await Deno.makeTempDir(); // rpmbuild takes no path with a space, which the project's may have
  const umask = Deno.umask(0o022);
  try {
    const job = { ...options, directory, tree: `${directory}/tree` };
    await writeTree(job, executable, runnable);
    return { deb: await buildDeb(job), rpm: await buildRpm(job) };
  } finally {
    Deno.umask(umask);
    await Deno.remove(directory, { recursive: true });
  }
}

async function main(): Promise<void> {
  const { version } = JSON.parse(await Deno.readTextFile(`${PROJECT}deno.json`));
  const { DEBFULLNAME = "rdma-cni maintainers", DEBEMAIL = "ORGANIZATION@users.noreply.github.com" } = Deno
    .env
    .toObject();
  const time = await readTime();
  if (time === undefined) {
    throw new Error("Cannot date the packages: git knows no commit; set SOURCE_DATE_EPOCH");
  }
  const builds = (["x86_64", "aarch64"] as const).map((target) => parseBuildOptions(["--target", target]));
  for (const options of builds) await build(options);
  const runnable = builds.find(({ target }) => target === Deno.build.arch)!.output;
  for (const { target, output: executable } of builds) {
    const packages = await buildPackages({
      target,
      executable,
      runnable,
      output: OUTPUT,
      version,
      maintainer: `${DEBFULLNAME} <${DEBEMAIL}>`,
      time,
      compression: "best",
    });
    for (const path of Object.values(packages)) console.error(`built "${path}"`);
  }
}

if (import.meta.main) {
  if (Deno.args.length > 0) {
    console.error(USAGE);
    Deno.exit(Deno.args[0] === "--help" ? 0 : 2);
  }
  try {
    await main();
  } catch (error) {
    console.error(messageOf(error));
    Deno.exit(1);
  }
}
