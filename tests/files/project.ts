import { fileURLToPath } from "node:url";

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
