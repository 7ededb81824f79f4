import { buildPackages } from "../../deployment/packages/packages.ts";
import { VERSION } from "../../src/version.ts";
import { PROGRAM } from "../support/program.ts";

/** A day in 2026. */
const TIME = 1_790_000_000;

/** The two packages of an executable. */
export type Packages = Awaited<ReturnType<typeof buildPackages>>;

type Options = Partial<Parameters<typeof buildPackages>[0]>;

/** Builds the packages of the executable that is tested, or of another one; uncompressed, which is ten times as fast. */
export function buildIn(output: string, options: Options = {}): Promise<Packages> {
  return buildPackages({
    target: Deno.build.arch,
    executable: PROGRAM,
    runnable: PROGRAM,
    output,
    version: VERSION,
    time: TIME,
    isCompressed: false,
    ...options,
  });
}
