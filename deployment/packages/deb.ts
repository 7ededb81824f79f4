/** The package for Debian and the distributions that descend from it. */
import { createHash } from "node:crypto";
import { denoEnv, runChild } from "../build/child.ts";
import type { Target } from "../build/runtime_stub.ts";
import { DOCUMENTS, installableUnits, type Job, SOURCES, write, zip } from "./tree.ts";

/** Debian's names of the architectures. */
const ARCHITECTURE: Record<Target, string> = { x86_64: "amd64", aarch64: "arm64" };

const DESCRIPTION = `CNI plugin that moves RDMA devices into pods
 In a chain behind a plugin that moves a network interface, such as sriov-cni,
 this plugin of type "rdma" moves the RDMA devices of the same function into the
 network namespace of the pod.
 .
 The command rdma-cni sets up a node for this, finds what is wrong with it, and
 shows which pod has which device.`;

/**
 * Makes the package of a tree of files.
 *
 * @returns its path
 * @throws {Error} with what dpkg-deb said
 */
export async function buildDeb(
  { target, tree, directory, output, version, maintainer, time, compression }: Job,
): Promise<string> {
  const root = `${directory}/deb`;
  const env = { ...denoEnv(), SOURCE_DATE_EPOCH: `${time}` };
  await runChild("cp", ["--archive", "--link", tree, root], { cwd: "/", env });
  const source = (name: string) => Deno.readTextFileSync(`${SOURCES}/debian/${name}`);
  write(root, `${DOCUMENTS}/copyright`, source("copyright"));
  write(root, `${DOCUMENTS}/changelog.gz`, zip(formatChangelog(version, maintainer, time)));
  write(root, "usr/share/lintian/overrides/rdma-cni", source("lintian-overrides"));

  const architecture = ARCHITECTURE[target];
  const files = [...filesIn(root)].map((path) => ({ path, bytes: Deno.readFileSync(`${root}/${path}`) }));
  const control = {
    Package: "rdma-cni",
    Version: version,
    Architecture: architecture,
    Maintainer: maintainer,
    "Installed-Size": files.reduce((sum, { bytes }) => sum + Math.ceil(bytes.length / 1024), 0),
    Depends: "libc6 (>= 2.28), libgcc-s1, libmnl0, kmod",
    Recommends: "rdma-core",
    Section: "net",
    Priority: "optional",
    Description: DESCRIPTION,
  };
  const lines = Object.entries(control).map(([field, value]) => `${field}: ${value}\n`);
  const sums = files.map(({ path, bytes }) => `${createHash("md5").update(bytes).digest("hex")}  ${path}\n`);
  write(root, "DEBIAN/control", lines.join(""));
  write(root, "DEBIAN/conffiles", "/etc/rdma-cni.conf\n");
  write(root, "DEBIAN/md5sums", sums.join(""));
  for (const script of ["postinst", "prerm", "postrm"]) {
    const text = source(script).replaceAll("@UNITS@", installableUnits().join(" "));
    write(root, `DEBIAN/${script}`, text, 0o755);
  }

  const path = `${output}/rdma-cni_${version}_${architecture}.deb`;
  const compressor = compression === "best" ? ["-Zxz"] : ["-Zgzip", "-z1"];
  const args = ["--root-owner-group", ...compressor, "--build", root, path];
  await runChild("dpkg-deb", args, { cwd: "/", env });
  return path;
}

/** Paths of the regular files below a directory, in the order of their names. */
function* filesIn(root: string, below = ""): Generator<string> {
  const entries = [...Deno.readDirSync(`${root}/${below}`)].sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isDirectory, isFile } of entries) {
    if (isDirectory) yield* filesIn(root, `${below}${name}/`);
    else if (isFile) yield below + name;
  }
}

/** In the format that Debian prescribes. */
function formatChangelog(version: string, maintainer: string, time: number): string {
  const date = new Date(time * 1000).toUTCString().replace("GMT", "+0000");
  return `rdma-cni (${version}) unstable; urgency=medium

  * CHANGELOG.md.gz in this directory has the changes.

 -- ${maintainer}  ${date}
`;
}
