/** The number of runs in which programs are started from the same copies, see copyAnew. */
export const RUNS_A_COPY = 5;

/**
 * Copies files and puts the copies where the earlier ones were, which go only then. Where the pages of a copy happen to
 * lie in memory makes a program up to 3.5 % slower or faster, so that no comparison may rest on one copy.
 *
 * @param copies pairs of a file and its copy
 * @throws {Deno.errors.NotFound}
 */
export async function copyAnew(copies: readonly (readonly [file: string, copy: string])[]): Promise<void> {
  for (const [file, copy] of copies) {
    await Deno.copyFile(file, `${copy}.new`);
    await Deno.rename(`${copy}.new`, copy);
  }
}
