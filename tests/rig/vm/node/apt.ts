import { messageOf } from "../../../../src/sys/errno.ts";
import { run, runApt } from "./packages.ts";

/** What apt knows of one suite of Debian, apart from what this machine is made of. */
export interface Suite extends AsyncDisposable {
  /** Names of all packages that begin so. */
  packageNames(prefix: string): Promise<string[]>;
  /** Names of the packages that a package depends on, alternatives included. */
  dependencies(name: string): Promise<string[]>;
  /** Names of packages and of all that they need, down to the C library. */
  withDependencies(names: string[]): Promise<string[]>;
  /** Downloads packages into a directory. */
  download(names: string[], directory: string): Promise<void>;
}

/** The mirror answers that it does not have the suite. */
export class SuiteMissing extends Error {}

/**
 * Fetches the list of packages of a suite from the mirror that this machine uses. Lists and cache are in a temporary
 * directory, so that nothing of the suite is ever installed here.
 *
 * @param architectures as Debian names them; a package that several have is the first one's
 * @throws {SuiteMissing} if the mirror does not have the suite
 * @throws {Error} if the machine has no mirror of Debian, or that cannot be reached
 */
export async function openSuite(
  suite: string,
  architectures: string[],
  temporaryIn: string,
  progress: (line: string) => void,
): Promise<Suite> {
  const mirror = await findMirror(suite.endsWith("-security") ? "Debian-Security" : "Debian", progress);
  const directory = await Deno.makeTempDir({ dir: temporaryIn });
  const remove = () => Deno.remove(directory, { recursive: true });
  const options = [
    `Dir::Etc::sourcelist=${directory}/sources.list`,
    "Dir::Etc::sourceparts=/nonexistent",
    `Dir::State::Lists=${directory}/lists`,
    `Dir::Cache=${directory}/cache`,
    "APT::Sandbox::User=root",
    `APT::Architecture=${architectures[0]}`,
    `APT::Architectures=${architectures.join()}`,
    "Dir::State::status=/dev/null", // what is installed here does not count
  ].map((option) => `--option=${option}`);
  try {
    for (const needed of ["lists/partial", "cache/archives/partial"]) {
      await Deno.mkdir(`${directory}/${needed}`, { recursive: true });
    }
    // The date until which the list is valid passes when the support of a suite ends. Signatures are still checked, and
    // what is downloaded only runs in a virtual machine without a network, so an old kernel is as good as a new one.
    const source = `deb [check-valid-until=no] ${mirror} ${suite} main\n`;
    await Deno.writeTextFile(`${directory}/sources.list`, source);
    await run("apt-get", [...options, "--error-on=any", "update"]);
  } catch (cause) {
    await remove();
    const errors = [...messageOf(cause).matchAll(/^E: (.*)/gm)].map(([, error]) => error).join("; ");
    const message = `Cannot get the list of "${suite}" from ${mirror}: ${errors || messageOf(cause)}`;
    // What apt says after 404, and neither when the mirror or a proxy refuses nor when it cannot be reached.
    if (/ does not have a Release file/.test(errors)) throw new SuiteMissing(message, { cause });
    throw new Error(message, { cause });
  }
  const query = async (...args: string[]) => lines(await run("apt-cache", [...options, ...args]));
  return {
    packageNames: (prefix) => query("pkgnames", prefix),
    // What another architecture needs of all or of the first one is virtual, in angle brackets; below it is what has it.
    dependencies: async (name) =>
      (await query("depends", "--important", name)).flatMap((line) =>
        /^(?:[ |]*Depends:| {3}) ([^<:]+)/.exec(line)?.[1] ?? []
      ),
    withDependencies: async (names) => {
      const needed = ["--no-install-recommends", "--simulate", "install", ...names];
      return lines(await run("apt-get", [...options, ...needed])).flatMap((line) =>
        /^Inst (\S+)/.exec(line)?.[1] ?? []
      );
    },
    download: async (names, into) => {
      await run("apt-get", [...options, "download", ...names], into);
    },
    [Symbol.asyncDispose]: remove,
  };
}

/** The address that this machine's own sources have for an archive of Debian, told by the label of its lists. */
async function findMirror(label: string, progress: (line: string) => void): Promise<string> {
  const list = async () => {
    const format = ["--format", "$(LABEL) $(REPO_URI)"];
    const targets = lines(await run("apt-get", ["indextargets", ...format, "Created-By: Packages"]));
    return targets.map((line) => line.split(" ")).find(([found]) => found === label)?.[1];
  };
  let mirror = await list();
  if (mirror === undefined) { // its lists may be missing, as in an image
    await runApt(["update"], progress);
    mirror = await list();
  }
  if (mirror === undefined) {
    throw new Error(
      `Cannot find this machine's mirror of ${label}: apt has no list with this label; look at what ` +
        '"apt-get update" says, and at /etc/apt/sources.list.d',
    );
  }
  return mirror;
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
