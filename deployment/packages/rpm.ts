/** The package for distributions with RPM. */
import { denoEnv, runChild } from "../build/child.ts";
import { DOCUMENTS, installableUnits, type Job, SOURCES } from "./tree.ts";

/** The number of a package among those of the same version. */
const RELEASE = 1;

/**
 * Makes the package of a tree of files, as rdma-cni.spec says.
 *
 * @returns its path
 * @throws {Error} with what rpmbuild said
 */
export async function buildRpm(
  { target, tree, directory, output, version, time, compression }: Job,
): Promise<string> {
  const macros = {
    _topdir: `${directory}/rpm`,
    _build_name_fmt: "rpm",
    _binary_payload: compression === "best" ? "w6T0.xzdio" : "w1.gzdio",
    package_license: licensesIn(`${tree}/${DOCUMENTS}/rdma-cni.cdx.json`),
    package_version: version,
    package_release: RELEASE,
    package_date: new Date(time * 1000).toUTCString().replace(/^(\w+), (\d+) (\w+) (\d+) .*/, "$1 $3 $2 $4"),
    package_tree: tree,
    package_units: installableUnits().join(" "),
  };
  const definitions = Object.entries(macros).flatMap(([name, value]) => ["--define", `${name} ${value}`]);
  const args = ["-bb", "--quiet", "--target", `${target}-linux`, ...definitions, "rdma-cni.spec"];
  await runChild("rpmbuild", args, { cwd: SOURCES, env: { ...denoEnv(), SOURCE_DATE_EPOCH: `${time}` } });
  const path = `${output}/rdma-cni-${version}-${RELEASE}.${target}.rpm`;
  await Deno.copyFile(`${directory}/rpm/RPMS/rpm`, path);
  return path;
}

/** The licences that a bill of materials names, as an SPDX expression. */
function licensesIn(file: string): string {
  const { metadata, components } = JSON.parse(Deno.readTextFileSync(file));
  const licenses = [metadata.component, ...components].map((component) => component.licenses[0].license.id);
  return [...new Set(licenses)].join(" AND ");
}
