import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { run } from "./vm/node/packages.ts";

const DIRECTORY = fileURLToPath(new URL("../../dist/debian", import.meta.url));

interface Content {
  packages: string[];
  /** A package of npm, with its version, that is put where Debian's would be. */
  npmPackage?: string;
}

/** A Debian 13 as a tar, from the mirror of this machine, kept under a name that says what it is made of. */
export async function debianTar(content: Content, progress: (line: string) => void): Promise<string> {
  const sources = await aptSources();
  // What the machine tells apt about proxies, certificates and dates.
  const options = (await run("apt-config", ["dump"])).split("\n").filter((line) =>
    line.startsWith("Acquire")
  );
  const texts = await Promise.all(sources.map((path) => Deno.readTextFile(path)));
  const key = createHash("sha256").update(JSON.stringify([content, texts, options])).digest("hex").slice(
    0,
    16,
  );
  const tar = `${DIRECTORY}/debian-${key}.tar`;
  if (await Deno.stat(tar).then(() => true, () => false)) return tar;

  progress(`making a Debian with ${content.packages.join(", ")} ...`);
  await Deno.mkdir(DIRECTORY, { recursive: true });
  const directory = await Deno.makeTempDir({ dir: DIRECTORY });
  try {
    await Deno.writeTextFile(`${directory}/apt.conf`, options.join("\n"));
    const hooks = content.npmPackage === undefined ? [] : [await npmHook(content.npmPackage, directory)];
    const include = `--include=${content.packages.join(",")}`;
    await run("mmdebstrap", [
      ...["--variant=minbase", include, `--aptopt=${directory}/apt.conf`, ...hooks],
      ...["trixie", `${directory}/debian.tar`, ...sources],
    ]);
    await Deno.rename(`${directory}/debian.tar`, tar);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  return tar;
}

/** Downloads npm. @returns the option with which mmdebstrap installs it */
async function npmHook(npmPackage: string, directory: string): Promise<string> {
  await run("npm", ["pack", "--silent", "--pack-destination", directory, npmPackage]);
  return `--customize-hook=cd "$1/usr/lib" && mkdir node_modules && ` +
    `tar -xzf "${directory}/${npmPackage.replace("@", "-")}.tgz" && ` +
    `mv package node_modules/npm && ln -s ../lib/node_modules/npm/bin/npm-cli.js ../bin/npm && ` +
    `ln -s ../lib/node_modules/npm/bin/npx-cli.js ../bin/npx`;
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
