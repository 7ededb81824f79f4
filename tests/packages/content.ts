import { build } from "../../deployment/build/build.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assertEquals } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";
import { buildIn, type Packages } from "./build.ts";

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
    await run("rpmlint", ["--config", `${PROJECT}deployment/packages/rpmlint.toml`, rpm]);
  },

  "the same sources give the same packages, whatever the umask and the directory": async (
    packages,
    directory,
  ) => {
    const umask = Deno.umask(0o077);
    try {
      const again = await buildIn(`${directory}/again`);
      for (const kind of ["deb", "rpm"] as const) await run("cmp", [packages[kind], again[kind]]);
    } finally {
      Deno.umask(umask);
    }
  },

  "those for aarch64 hold the same files, with its program": async (packages, directory) => {
    const executable = `${directory}/aarch64`;
    await build({ target: "aarch64", output: executable });
    const foreign = await buildIn(directory, { target: "aarch64", executable });
    assertEquals(await filesOf(foreign), await filesOf(packages));
    const { deb, rpm } = foreign;
    assertEquals(await run("dpkg-deb", ["--field", deb, "Architecture"]), "arm64\n");
    const format = "%{ARCH}\n[%{FILEDIGESTS} %{FILENAMES}\n]";
    const [architecture, ...digests] = (await run("rpm", ["-qp", "--queryformat", format, rpm])).split("\n");
    assertEquals(architecture, "aarch64");
    const program = "/usr/libexec/rdma-cni/rdma-cni";
    const [digest] = (await run("sha256sum", [executable])).split(" ");
    assertEquals(digests.filter((line) => line.endsWith(program)), [`${digest} ${program}`]);
    await run("dpkg-deb", ["--extract", deb, `${directory}/extracted`]);
    await run("cmp", [`${directory}/extracted${program}`, executable]);
  },
};
