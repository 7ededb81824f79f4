import { messageOf } from "../../../../src/sys/errno.ts";
import { run, runApt } from "./packages.ts";

/** The mirror answers that it does not have the suite, or the suite not the package. */
export class Missing extends Error {}

/** What apt knows of one suite of Debian, apart from what this machine is made of. */
export class Suite implements AsyncDisposable {
  private constructor(readonly directory: string, readonly options: readonly string[]) {}

  /**
   * Fetches the list of packages from the mirror that this machine uses. Lists and cache are in a temporary directory, so
   * that nothing of the suite is ever installed here.
   *
   * @param architectures as Debian names them; a package that several have is the first one's
   * @throws {Missing} if the mirror does not have the suite
   */
  static async open(
    name: string,
    architectures: string[],
    temporaryIn: string,
    progress: (line: string) => void,
  ): Promise<Suite> {
    const mirror = await findMirror(name.endsWith("-security") ? "Debian-Security" : "Debian", progress);
    const directory = await Deno.makeTempDir({ dir: temporaryIn });
    const options = [
      `Dir::Etc::sourcelist=${directory}/sources.list`,
      "Dir::Etc::sourceparts=/nonexistent",
      `Dir::State::Lists=${directory}/lists`,
      `Dir::Cache=${directory}/cache`,
      "APT::Sandbox::User=root",
      `APT::Architecture=${architectures[0]}`,
      `APT::Architectures=${architectures.join()}`,
      "Dir::State::status=/dev/null", // what is installed here does not count
    ];
    const suite = new Suite(directory, options.map((option) => `--option=${option}`));
    try {
      for (const needed of ["lists/partial", "cache/archives/partial"]) {
        await Deno.mkdir(`${directory}/${needed}`, { recursive: true });
      }
      // The date until which the list is valid passes when the support of a suite ends. Signatures are still checked, and
      // what is downloaded only runs in a virtual machine without a network, so an old kernel is as good as a new one.
      const source = `deb [check-valid-until=no] ${mirror} ${name} main\n`;
      await Deno.writeTextFile(`${directory}/sources.list`, source);
      await suite.#run("apt-get", "--error-on=any", "update");
      return suite;
    } catch (cause) {
      await suite[Symbol.asyncDispose]();
      const errors = [...messageOf(cause).matchAll(/^E: (.*)/gm)].map(([, error]) => error).join("; ");
      const message = `Cannot get the list of "${name}" from ${mirror}: ${errors || messageOf(cause)}`;
      // What apt says after 404, and neither when the mirror or a proxy refuses nor when it cannot be reached.
      throw new (/ does not have a Release file/.test(errors) ? Missing : Error)(message, { cause });
    }
  }

  async #run(program: string, ...args: string[]): Promise<string[]> {
    return lines(await run(program, [...this.options, ...args]));
  }

  readonly packageNames = (prefix: string) => this.#run("apt-cache", "pkgnames", prefix);

  /** Names of the packages that a package depends on, alternatives included. */
  async dependencies(name: string): Promise<string[]> {
    const found = await this.#run("apt-cache", "depends", "--important", name);
    // What another architecture needs of all or of the first one is virtual, in angle brackets; below it is what has it.
    return found.flatMap((line) => /^(?:[ |]*Depends:| {3}) ([^<:]+)/.exec(line)?.[1] ?? []);
  }

  /** Names of packages and of all that they need, down to the C library. */
  async withDependencies(names: string[]): Promise<string[]> {
    const found = await this.#run("apt-get", "--no-install-recommends", "--simulate", "install", ...names);
    return found.flatMap((line) => /^Inst (\S+)/.exec(line)?.[1] ?? []);
  }

  async unpack(names: string[], into: string): Promise<void> {
    const downloads = `${this.directory}/downloads`;
    await Deno.mkdir(downloads);
    await run("apt-get", [...this.options, "download", ...names], downloads);
    for (const { name } of [...Deno.readDirSync(downloads)]) {
      await run("dpkg", ["--extract", `${downloads}/${name}`, into]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
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
  if (mirror !== undefined) return mirror;
  throw new Error(
    `Cannot find this machine's mirror of ${label}: apt has no list with this label; look at what ` +
      '"apt-get update" says, and at /etc/apt/sources.list.d',
  );
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");
