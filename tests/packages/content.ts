import { run } from "../rig/vm/node/packages.ts";
import { assertEquals } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";
import { buildOther, type Packages } from "./build.ts";

/** Stands for the executable for aarch64, since packages can be made of any. */
const FOREIGN = "/usr/aarch64-linux-gnu/lib/libgcc_s.so.1";

const INSTALLED = "/usr/libexec/rdma-cni/rdma-cni";

/** Makes the packages for aarch64 in a directory. */
async function buildForeign(directory: string): Promise<Packages & { executable: string }> {
  await Deno.mkdir(directory);
  const executable = `${directory}/program`;
  await Deno.copyFile(FOREIGN, executable);
  return { executable, ...await buildOther(directory, executable, { target: "aarch64" }) };
}

/** Paths and modes of the files in each package. */
async function filesOf({ deb, rpm }: Packages): Promise<string[]> {
  const list = await run("dpkg-deb", ["--contents", deb]);
  return [
    list.replaceAll(/^(\S+ \S+) +\d+/gm, "$1"),
    await run("rpm", ["-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", rpm]),
  ];
}

/** What is tried, by what ought to be so. */
export const contentCases: Record<string, (packages: Packages, directory: string) => Promise<void>> = {
  "lintian finds nothing besides the overrides": async ({ deb }) => {
    assertEquals(await run("lintian", ["--allow-root", "--fail-on=error,warning", deb]), "");
  },

  "rpmlint finds nothing besides the filters": async ({ rpm }) => {
    await run("rpmlint", ["--strict", "--config", `${PROJECT}deployment/packages/rpmlint.toml`, rpm]);
  },

  "those for aarch64 hold the same files, with its program": async (packages, directory) => {
    const { executable, ...foreign } = await buildForeign(`${directory}/foreign`);
    assertEquals(await filesOf(foreign), await filesOf(packages));
    assertEquals(await run("dpkg-deb", ["--field", foreign.deb, "Architecture"]), "arm64\n");
    await run("dpkg-deb", ["--extract", foreign.deb, `${directory}/extracted`]);
    await run("cmp", [`${directory}/extracted${INSTALLED}`, executable]);
    const format = "%{ARCH}\n[%{FILEDIGESTS} %{FILENAMES}\n]";
    const [architecture, ...digests] = (await run("rpm", ["-qp", "--queryformat", format, foreign.rpm]))
      .split("\n");
    const [digest] = (await run("sha256sum", [executable])).split(" ");
    assertEquals(
      [architecture, ...digests.filter((line) => line.endsWith(INSTALLED))],
      ["aarch64", `${digest} ${INSTALLED}`],
    );
  },

  "the same sources give the same packages, whatever the directory and the umask": async (_, directory) => {
    const once = await buildForeign(`${directory}/once`);
    const umask = Deno.umask(0o077);
    try {
      const again = await buildForeign(`${directory}/again`);
      for (const kind of ["deb", "rpm"] as const) await run("cmp", [once[kind], again[kind]]);
    } finally {
      Deno.umask(umask);
    }
  },
};
