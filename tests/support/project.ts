import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "./assert.ts";

/** The project's directory, with a slash at its end. */
export const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

/** Paths, from the project's directory on, of the files below a directory whose names end so. */
export function filesIn(directory: string, end: string): string[] {
  return [...Deno.readDirSync(`${PROJECT}${directory}`)].flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    if (isDirectory) return filesIn(path, end);
    return name.endsWith(end) ? [path] : [];
  }).sort();
}

/** A copy of what the Dockerfile copies, in another directory. */
export class ProjectCopy implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly project = `${this.directory}/some where/else`;
  readonly #temporary = `${this.directory}/temporary`;

  constructor() {
    Deno.mkdirSync(this.project, { recursive: true });
    Deno.mkdirSync(this.#temporary);
    const sources = ["src", "deployment", "deno.json", "deno.lock", "LICENSE"].map((name) => PROJECT + name);
    assert(new Deno.Command("cp", { args: ["-r", ...sources, this.project] }).outputSync().success);
  }

  /** Builds the executable, and makes sure that no temporary file is left. */
  async build(env: Record<string, string>, args: readonly string[] = []) {
    const output = `${this.project}/made/rdma-cni`;
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "deployment/build/build.ts", "--output", output, ...args],
      cwd: this.project,
      env: { NO_COLOR: "1", TMPDIR: this.#temporary, ...env },
    }).output();
    assertEquals([...Deno.readDirSync(this.#temporary)], []);
    return { success, stderr: new TextDecoder().decode(stderr), output };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}
