import { dirname, join } from "node:path";
import { bundle, COMPILED_FORM, PROGRAM } from "./bundle.ts";
import { PROJECT, runChild } from "./child.ts";
import { compile } from "./compile.ts";
import type { Runner } from "./runner.ts";
import type { Target } from "./runtime_stub.ts";

/**
 * Has V8 compile the program in a directory of scripts, all of its functions, and puts the compiled form beside it. The V8
 * is that of an executable for `target`.
 *
 * @throws {Error}
 */
export async function compileAhead(
  directory: string,
  target: Target,
  { by, env }: Runner,
  signal?: AbortSignal,
): Promise<void> {
  // Beside the directory, since programs in the system's temporary directory may not be allowed to run.
  const temporary = await Deno.makeTempDir({ dir: dirname(directory) });
  try {
    const recorder = join(temporary, "record");
    const stage = join(temporary, "stage");
    Deno.mkdirSync(stage);
    const { code } = await bundle({
      entry: `${PROJECT}deployment/build/record_cache.ts`,
      format: "esm",
      signal,
    });
    Deno.writeTextFileSync(join(stage, "main.js"), code);
    await compile({ directory: stage, output: recorder, target, signal });
    const [command = "", ...args] = [...by, recorder, PROGRAM, COMPILED_FORM];
    await runChild(command, args, { cwd: directory, env, signal });
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}
