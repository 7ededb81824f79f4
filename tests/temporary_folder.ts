import { statfsSync } from "node:fs";

const GIB = 2 ** 30;

/** The image's layers take most, the copies of the executable the rest. */
const WANTED = 4 * GIB;

/** Why tests cannot keep their temporary files in a folder, which is made if it is missing; undefined when they can. */
export function faultOf(folder: string): string | undefined {
  try {
    Deno.mkdirSync(folder, { recursive: true });
    const { bavail, bsize } = statfsSync(folder);
    const free = bavail * bsize;
    if (free < WANTED) return `${(free / GIB).toFixed(1)} GiB are free there, wanted ${WANTED / GIB}`;
    const program = Deno.makeTempFileSync({ dir: folder });
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
 * Has this process and its children keep temporary files in the first folder that can be used: the usual one, /var/tmp,
 * or one in `dist`.
 *
 * @param project its folder, with a slash at its end
 * @param tell takes a line when it is not the usual one
 * @throws {Error} that names each folder and what is wrong with it
 */
export function chooseTemporaryFolder(project: string, tell: (line: string) => void): void {
  const faults: string[] = [];
  for (const folder of [Deno.env.get("TMPDIR") || "/tmp", "/var/tmp", `${project}dist/tmp`]) {
    const fault = faultOf(folder);
    if (fault === undefined) {
      Deno.env.set("TMPDIR", folder);
      if (faults.length > 0) tell(`Temporary files go to "${folder}": ${faults.join("; ")}`);
      return;
    }
    faults.push(`"${folder}" cannot be used (${fault})`);
  }
  throw new Error(`Cannot keep temporary files: ${faults.join("; ")}; set TMPDIR`);
}
