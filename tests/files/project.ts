import { fileURLToPath } from "node:url";

/** The project's folder, with a slash at its end. */
export const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

/** Paths, from the project's folder on, of the files below a folder whose names end so. */
export function filesIn(folder: string, end: string): string[] {
  return [...Deno.readDirSync(`${PROJECT}${folder}`)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return filesIn(path, end);
    return name.endsWith(end) ? [path] : [];
  }).sort();
}
