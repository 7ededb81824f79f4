/** In which form commands print their results, and the options that choose it. */
import { Option } from "@commander-js/extra-typings";
// @ts-types="./js_yaml.d.ts"
import { dump } from "js-yaml";
import { toPrintable } from "../printable.ts";
import type { Terminal } from "./terminal.ts";

/** The forms of every result. "table" is the one for people, also where it is only a line. */
const FORMATS = ["table", "json", "yaml"] as const;

export type Format = typeof FORMATS[number];

/** A form that programs can read. */
export type DataFormat = "json" | "yaml";

/** @param more the forms that only this command has */
export function outputOption<const More extends string = never>(...more: More[]) {
  return new Option("-o, --output <FORMAT>", "what to print").choices([...FORMATS, ...more])
    .default("table" as const);
}

/** The command gets it as `output`. */
export const JSON_OPTION = new Option("--json", "the same as -o json").conflicts("output");

/** For commands that print progress or notes, see {@linkcode Terminal.isQuiet}. */
export const QUIET = new Option("-q, --quiet", "print neither progress nor notes, only errors");

/** The same for commands whose result is verdicts. */
export const QUIET_VERDICTS = new Option("-q, --quiet", "print only warnings and problems");

/** The form for programs that a command line asks for, even if the rest of it is wrong. */
export function findDataFormat(args: readonly string[]): DataFormat | undefined {
  const [match, format] = /^(?:--json|(?:--output[=\n]|-\w*o\n?)(json|yaml))$/m.exec(args.join("\n")) ?? [];
  return match === undefined ? undefined : format === "yaml" ? "yaml" : "json";
}

/** Prints a result as `-o` says. @param printForPeople does it for the other forms */
export function printAs(
  terminal: Terminal,
  format: string,
  value: unknown,
  printForPeople: () => void = () => {},
): void {
  switch (format) {
    case "json":
      return terminal.raw(formatJson(value));
    case "yaml":
      return terminal.raw(formatYaml(value));
    default:
      return printForPeople();
  }
}

/** JSON that does not control the terminal: in its strings all that does not print is escaped. */
function formatJson(value: unknown): string {
  return JSON.stringify(value, null, 2).split("\n").map((line) => `${toPrintable(line)}\n`).join("");
}

/** A YAML document of what the JSON has. It begins with a marker, which separates the documents of `--watch`. */
export function formatYaml(value: unknown): string {
  return `---\n${dump(JSON.parse(JSON.stringify(value)), { lineWidth: -1 })}`;
}
