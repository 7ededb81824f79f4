import { fileURLToPath } from "node:url";
import { assert } from "./assert.ts";

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

  constructor() {
    Deno.mkdirSync(this.project, { recursive: true });
    const sources = ["src", "deployment", "deno.json", "deno.lock", "LICENSE"];
    const args = ["-r", ...sources.map((name) => PROJECT + name), this.project];
    assert(new Deno.Command("cp", { args }).outputSync().success);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}
