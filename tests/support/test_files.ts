import { dirname, join } from "node:path";

/** A test file that needs no executable, and how many imports away each source is that it reaches: 0 for its own. */
export interface TestFile {
  readonly path: string;
  readonly distances: ReadonlyMap<string, number>;
}

/** The sources of the project, and the test files that need nothing but them. Paths are relative to the project. */
export function findTests(project: string): { sources: string[]; tests: TestFile[] } {
  const imports = new Map(
    ["src", "tests"].flatMap((directory) => filesIn(project, directory)).map((path) => {
      return [path, importsOf(path, Deno.readTextFileSync(`${project}/${path}`))];
    }),
  );
  const paths = [...imports.keys()].sort();
  const tests = paths.filter((path) => /^tests\/(unit|files)\/.*_test\.ts$/.test(path));
  return {
    sources: paths.filter((path) => path.startsWith("src/")),
    tests: tests.map((path) => ({ path, distances: distancesFrom(path, imports) })),
  };
}

function filesIn(project: string, directory: string): string[] {
  return [...Deno.readDirSync(`${project}/${directory}`)].flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    return isDirectory ? filesIn(project, path) : /(?<!\.d)\.ts$/.test(name) ? [path] : [];
  });
}

function importsOf(path: string, text: string): string[] {
  // Some tests start a program that imports a module by its address.
  const specifiers = text.matchAll(
    /(?:from|import\(|import|import\.meta\.resolve\(|new URL\()\s*"(\.[^"?]+)/g,
  );
  return Array.from(specifiers, ([, specifier]) => join(dirname(path), specifier!));
}

function distancesFrom(test: string, imports: ReadonlyMap<string, readonly string[]>): Map<string, number> {
  const distances = new Map<string, number>();
  const known = new Set([test]);
  for (let [distance, layer] = [0, [test]]; layer.length > 0; distance++) {
    const next = layer.flatMap((path) => imports.get(path) ?? []).filter((path) => !known.has(path));
    layer = [...new Set(next)];
    for (const path of layer) {
      known.add(path);
      distances.set(path, distance);
    }
  }
  return distances;
}
