import { buildPackages } from "../../deployment/packages/packages.ts";
import { VERSION } from "../../src/version.ts";
import { PROGRAM } from "../support/program.ts";

/** A day in 2026. */
const TIME = 1_790_000_000;

/** Whom to write to about packages. */
export const MAINTAINER = "Jane Doe <jane@example.com>";

/** The version of packages that take the place of those of the executable that is tested. */
export const OTHER_VERSION = `${VERSION}.1`;

/** The two packages of an executable. */
export type Packages = Awaited<ReturnType<typeof buildPackages>>;

type Options = Partial<Parameters<typeof buildPackages>[0]>;

/** Builds packages in a directory, those of the executable that is tested unless told otherwise. */
export async function buildIn(output: string, options: Options = {}): Promise<Packages> {
  return await buildPackages({
    target: Deno.build.arch,
    executable: PROGRAM,
    runnable: PROGRAM,
    output,
    version: VERSION,
    maintainer: MAINTAINER,
    time: TIME,
    compression: "fast",
    ...options,
  });
}

/** Builds the packages of another executable, with the lists of the one that is tested. */
export async function buildOther(output: string, executable: string, options: Options): Promise<Packages> {
  for (const list of ["cdx.json", "licenses.txt"]) {
    await Deno.copyFile(`${PROGRAM}.${list}`, `${executable}.${list}`);
  }
  return await buildIn(output, { executable, ...options });
}
