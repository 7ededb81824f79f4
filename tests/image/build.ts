import { VERSION } from "../../src/version.ts";
import { debianTar } from "../rig/debian.ts";
import { run } from "../rig/vm/node/packages.ts";
import { blockNamed } from "../support/documents.ts";
import { PROJECT } from "../support/project.ts";
import type { Engine } from "./engine.ts";

/** What the images of both architectures are called. */
export const IMAGE = `localhost/rdma-cni:${VERSION}`;

const PLATFORMS = "linux/amd64,linux/arm64";

/** The documents' command for a company: no registry of images is asked, and all but Debian's packages comes from npm. */
const BUILD_BEHIND_MIRROR = blockNamed("image-behind-mirror");

// Node.js and npm are what the build stage must find where no image of Deno can be had. The Debian package npm would
// bring hundreds of others.
const BASE = { packages: ["ca-certificates", "nodejs"], npmPackage: "npm@10.9.4" };

const BASES = ["mirror.example.com/node:22-trixie-slim", "mirror.example.com/debian:trixie-slim"];

export const ARCHITECTURES = ["amd64", "arm64"];

/**
 * Gives the engine the bases and the settings that the command for companies names. No registry of images is asked here,
 * so a Debian stands for both.
 */
export async function prepareBases(engine: Engine): Promise<void> {
  const base = await debianTar(BASE, (line) => console.error(`image: ${line}`));
  const id = (await engine.run("podman", ["import", "--quiet", base])).trim();
  for (const name of BASES) await engine.run("podman", ["tag", id, name]);
  await Deno.writeTextFile(`${engine.directory}/.npmrc`, await npmrc());
}

/** Runs the command for companies, with the times that make images comparable. */
export async function buildImages(engine: Engine): Promise<void> {
  await runBuild(engine, BUILD_BEHIND_MIRROR);
}

/** Builds an image for amd64 once more, with what was built of the program, in a directory `out` below the one that is given. */
export async function buildAgain(engine: Engine, image: string, program: string): Promise<void> {
  const command = BUILD_BEHIND_MIRROR.replace(PLATFORMS, "linux/amd64").replace(IMAGE, image);
  await runBuild(engine, command.replace(/\.$/, `--build-context "program=${program}" .`));
}

async function runBuild(engine: Engine, command: string): Promise<void> {
  await engine.run("sh", ["-c", command.replace(/\.$/, "--pull=never --timestamp 0 .")], PROJECT);
}

/** The registry that this machine's npm asks, with its user's settings. */
async function npmrc(): Promise<string> {
  const [registry, file] = await Promise.all(
    ["registry", "userconfig"].map((key) => run("npm", ["config", "get", key])),
  ) as [string, string];
  return `${await Deno.readTextFile(file.trim()).catch(() => "")}\nregistry=${registry}`;
}
