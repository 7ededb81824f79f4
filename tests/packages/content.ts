import { parseBuildOptions } from "../../deployment/build/build.ts";
import { runnerFor } from "../../deployment/build/runner.ts";
import { buildPackages } from "../../deployment/packages/packages.ts";
import { VERSION } from "../../src/version.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";

const MAINTAINER = "Jane Doe <jane@example.com>";

/** The version of packages that take the place of those of the executable that is tested. */
export const OTHER_VERSION = `${VERSION}.1`;

export type Packages = Awaited<ReturnType<typeof buildPackages>>;

type Options = Partial<Parameters<typeof buildPackages>[0]>;

/** Builds packages in a directory, those of the executable that is tested unless told otherwise. */
export async function buildIn(output: string, options: Options = {}): Promise<Packages> {
  return await buildPackages({
    ...{ target: Deno.build.arch, executable: PROGRAM, runnable: PROGRAM, version: VERSION },
    ...{ output, maintainer: MAINTAINER, time: 1_790_000_000, compression: "fast", ...options },
  });
}

/** Builds the packages of another executable, with the lists of the one that is tested. */
export async function buildOther(output: string, executable: string, options: Options): Promise<Packages> {
  for (const list of ["cdx.json", "licenses.txt"]) {
    await Deno.copyFile(`${PROGRAM}.${list}`, `${executable}.${list}`);
  }
  return await buildIn(output, { executable, ...options });
}

/** Much smaller than the executable, and packages can be made of any file. */
const SMALL = "/usr/aarch64-linux-gnu/lib/libgcc_s.so.1";

const INSTALLED = "/usr/libexec/rdma-cni/rdma-cni";

/** Makes packages of something small in a directory. */
async function buildSmall(directory: string): Promise<Packages> {
  await Deno.mkdir(directory);
  const executable = `${directory}/program`;
  await Deno.copyFile(SMALL, executable);
  return await buildOther(directory, executable, { target: "aarch64" });
}

async function filesOf({ deb, rpm }: Packages): Promise<string[]> {
  const list = await run("dpkg-deb", ["--contents", deb]);
  return [
    list.replaceAll(/^(\S+ \S+) +\d+/gm, "$1"),
    await run("rpm", ["-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", rpm]),
  ];
}

export const contentCases: Record<string, (packages: Packages, directory: string) => Promise<void>> = {
  "lintian finds nothing besides the overrides": async ({ deb }) => {
    assertEquals(await run("lintian", ["--allow-root", "--fail-on=error,warning", deb]), "");
  },

  "rpmlint finds nothing besides the filters": async ({ rpm }) => {
    await run("rpmlint", ["--strict", "--config", `${PROJECT}deployment/packages/rpmlint.toml`, rpm]);
  },

  "they name whom to write to, and need the package with modprobe, which a unit starts": async (
    { deb, rpm },
  ) => {
    const field = async (name: string) => (await run("dpkg-deb", ["--field", deb, name])).trim();
    assertEquals(await field("Maintainer"), MAINTAINER);
    const depends = (await field("Depends")).split(/[, ]+/);
    const requires = (await run("rpm", ["-qp", "--requires", rpm])).split("\n");
    for (const needed of [depends, requires]) assert(needed.includes("kmod"), needed.join());
  },

  "those for aarch64 hold the same files, with its program, which runs": async (packages, directory) => {
    const { output: executable } = parseBuildOptions(["--target", "aarch64"]);
    const foreign = await buildIn(directory, { target: "aarch64", executable });
    assertEquals(await filesOf(foreign), await filesOf(packages));
    assertEquals(await run("dpkg-deb", ["--field", foreign.deb, "Architecture"]), "arm64\n");
    await run("dpkg-deb", ["--extract", foreign.deb, `${directory}/extracted`]);
    const program = `${directory}/extracted${INSTALLED}`;
    const { json } = await start({ ...runnerFor("aarch64"), program, args: ["version", "-o", "json"] });
    assertEquals(json.architecture, "aarch64");
    const format = "%{ARCH}\n[%{FILEDIGESTS} %{FILENAMES}\n]";
    const lines = (await run("rpm", ["-qp", "--queryformat", format, foreign.rpm])).split("\n");
    const [digest] = (await run("sha256sum", [program])).split(" ");
    const wanted = ["aarch64", `${digest} ${INSTALLED}`];
    assertEquals(lines.filter((line, index) => index === 0 || line.endsWith(INSTALLED)), wanted);
  },

  "the same sources give the same packages, whatever the directory and the umask": async (_, directory) => {
    const once = await buildSmall(`${directory}/once`);
    const umask = Deno.umask(0o077);
    try {
      const again = await buildSmall(`${directory}/again`);
      for (const kind of ["deb", "rpm"] as const) await run("cmp", [once[kind], again[kind]]);
    } finally {
      Deno.umask(umask);
    }
  },
};
