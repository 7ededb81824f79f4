import { statfsSync } from "node:fs";

const GIB = 2 ** 30;

/** The image's layers take most, the copies of the executable the rest. */
const WANTED = 4 * GIB;

/** Finds out why tests cannot keep temporary files in a directory, which is made if it is missing; undefined if they can. */
function faultOf(directory: string): string | undefined {
  try {
    Deno.mkdirSync(directory, { recursive: true });
    const { bavail, bsize } = statfsSync(directory);
    const free = bavail * bsize;
    if (free < WANTED) return `${(free / GIB).toFixed(1)} GiB are free there, wanted ${WANTED / GIB}`;
    const program = Deno.makeTempFileSync({ dir: directory });
    try {
      Deno.writeTextFileSync(program, "#!/bin/sh\n");
      Deno.chmodSync(program, 0o700);
      return canRun(program) ? undefined : "programs there may not run";
    } finally {
      Deno.removeSync(program);
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function canRun(program: string): boolean {
  try {
    return new Deno.Command(program, { stdin: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}

/**
 * Has this process and its children keep temporary files in the first directory that can be used: the usual one,
 * /var/tmp, or one in `dist`.
 *
 * @param project its directory, with a slash at its end
 * @param tell takes a line when it is not the usual one
 * @throws {Error} that names each directory and what is wrong with it
 */
export function chooseTemporaryDirectory(project: string, tell: (line: string) => void): void {
  const faults: string[] = [];
  for (const directory of [Deno.env.get("TMPDIR") || "/tmp", "/var/tmp", `${project}dist/tmp`]) {
    const fault = faultOf(directory);
    if (fault === undefined) {
      Deno.env.set("TMPDIR", directory);
      if (faults.length > 0) tell(`Temporary files go to "${directory}": ${faults.join("; ")}`);
      return;
    }
    faults.push(`"${directory}" cannot be used (${fault})`);
  }
  throw new Error(`Cannot keep temporary files: ${faults.join("; ")}; set TMPDIR`);
}
