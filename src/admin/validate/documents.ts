import { parseAll } from "./yaml.ts";

/** What a text holds. */
export interface Documents {
  readonly format: "JSON" | "YAML";
  readonly documents: readonly unknown[];
}

/**
 * Reads a text of one JSON, or of any number of YAML documents.
 *
 * @throws {SyntaxError} that says what is wrong with it, and in which line
 */
export function parseDocuments(text: string): Documents {
  // JSON is YAML, nearly; its own parser knows better what is wrong with it.
  const format = /^\s*[{[]/.test(text) && !/^---/m.test(text) ? "JSON" : "YAML";
  try {
    return { format, documents: format === "JSON" ? [JSON.parse(text)] : parseAll(text) };
  } catch (cause) {
    // Below the first line the YAML parser draws where it is.
    const [reason = ""] = (cause as Error).message.split(":\n");
    throw new SyntaxError(`it is not ${format}: ${reason}`, { cause });
  }
}
