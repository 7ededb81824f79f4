/** YAML with the places of its parts. */
// @ts-types="../js_yaml.d.ts"
import { loadAll, type State, YAMLException } from "js-yaml";
import { isObject } from "../../plugin/config/rules.ts";
import { type Entry, makeValue, type Part, TextError } from "./part.ts";

/** Mappings and sequences within each other. */
const DEPTH_LIMIT = 500;

/** A node whose end has not been read. */
interface Open {
  readonly start: number;
  readonly children: Part[];
}

/**
 * Reads the documents of a YAML text. What kubectl takes is taken: texts in quotes may go on at any column, and a key
 * may be there twice. What it refuses is refused: tabs as indentation. Many published networks close a text in quotes at
 * the first column, which js-yaml 5 and the package yaml refuse.
 *
 * @throws {TextError} when it is not YAML, or nested too deeply
 */
export function parseYaml(text: string): Part[] {
  const documents: Part[] = [];
  const stack: Open[] = [];
  // The parser adds a line break.
  const within = (position: number) => Math.min(position, text.length);
  const listener = (event: "open" | "close", { kind, result, position }: State) => {
    if (event === "open") {
      stack.push({ start: within(position), children: [] });
      return;
    }
    const part = close(text, stack.pop()!, { kind, result, position: within(position) });
    (stack.at(-1)?.children ?? documents).push(part);
  };
  try {
    loadAll(text, null, { json: true, maxDepth: DEPTH_LIMIT, listener });
    return documents;
  } catch (cause) {
    if (!(cause instanceof YAMLException)) throw cause;
    throw new TextError(cause.reason, within(cause.mark?.position ?? 0), { cause });
  }
}

/** A reader of a node starts before the space and the comments in front of it. */
const BEFORE = /(?:\s|#.*)*/y;

function close(text: string, { start, children }: Open, { kind, result, position }: State): Part {
  const [only] = children;
  // What turned out not to be the first key of a mapping was read as a node within this one.
  if (children.length === 1 && only!.value === result) return only!;
  BEFORE.lastIndex = start;
  start += BEFORE.exec(text)![0].length;
  return { value: result, start, end: position, entries: listEntries(kind, result, children) };
}

/** None where the parser read something twice, or a mapping leaves out values: such places are not known. */
function listEntries(kind: State["kind"], value: unknown, children: readonly Part[]): Entry[] {
  if (kind === "sequence" && Array.isArray(value) && value.length === children.length) {
    return children.map((part, key) => ({ key, start: part.start, part }));
  }
  if (kind !== "mapping" || !isObject(value)) return [];
  const entries = children.flatMap((key, index) =>
    index % 2 === 1
      ? []
      : [{ key: String(key.value), start: key.start, part: children[index + 1] ?? makeValue(key.end, null) }]
  );
  // Before the next document the parser looked for one more key.
  if (children.length % 2 === 1 && !Object.hasOwn(value, entries.at(-1)!.key)) entries.pop();
  return entries.every(({ key }) => key === "<<" || Object.hasOwn(value, key)) ? entries : [];
}
