import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { run } from "../rig/vm/node/packages.ts";

const DIRECTORY = fileURLToPath(new URL("../../dist/image", import.meta.url));

// Node.js and npm are what the build stage must find where no image of Deno can be had. The Debian package npm would
// bring hundreds of others.
const INCLUDE = ["ca-certificates", "nodejs"];
const NPM = "npm@10.9.4";

/**
 * A Debian 13 as a tar, which stands for both bases of the image since no registry is asked here. It is made from the
 * mirror that this machine uses, in the way it uses it, and kept under a name that tells what it is made of.
 *
 * @param progress takes a line when it has to be made
 * @throws {Error} when a package cannot be had
 */
export async function debianBase(progress: (line: string) => void): Promise<string> {
  const sources = await aptSources();
  // What the machine tells apt about proxies, certificates and dates; the build stages need it too.
  const options = (await run("apt-config", ["dump"])).split("\n").filter((line) =>
    line.startsWith("Acquire")
  );
  const texts = await Promise.all(sources.map((path) => Deno.readTextFile(path)));
  const key = createHash("sha256").update(JSON.stringify([INCLUDE, NPM, texts, options])).digest("hex").slice(
    0,
    16,
  );
  const tar = `${DIRECTORY}/debian-${key}.tar`;
  if (await Deno.stat(tar).then(() => true, () => false)) return tar;

  progress("image: making a Debian to build it with ...");
  await Deno.mkdir(DIRECTORY, { recursive: true });
  const directory = await Deno.makeTempDir({ dir: DIRECTORY });
  try {
    await Deno.writeTextFile(`${directory}/apt.conf`, options.join("\n"));
    const args = ["--variant=minbase", `--include=${INCLUDE.join(",")}`, `--aptopt=${directory}/apt.conf`];
    await run("npm", ["pack", "--silent", "--pack-destination", directory, NPM]);
    const hook =
      `cd "$1/usr/lib" && mkdir node_modules && tar -xzf "${directory}/${NPM.replace("@", "-")}.tgz" && ` +
      `mv package node_modules/npm && ln -s ../lib/node_modules/npm/bin/npm-cli.js ../bin/npm && ` +
      `ln -s ../lib/node_modules/npm/bin/npx-cli.js ../bin/npx`;
    await run("mmdebstrap", [
      ...args,
      `--customize-hook=${hook}`,
      "trixie",
      `${directory}/debian.tar`,
      ...sources,
    ]);
    await Deno.rename(`${directory}/debian.tar`, tar);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  return tar;
}

/** The files that name this machine's mirrors, less those that name directories of its own. */
async function aptSources(): Promise<string[]> {
  const directory = "/etc/apt/sources.list.d";
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) =>
    /\.(list|sources)$/.test(name)
  );
  const paths = ["/etc/apt/sources.list", ...names.sort().map((name) => `${directory}/${name}`)];
  const wanted: string[] = [];
  for (const path of paths) {
    const text = await Deno.readTextFile(path).catch(() => "");
    if (/https?:/.test(text) && !/\b(file|cdrom|copy):/.test(text)) wanted.push(path);
  }
  return wanted;
}
