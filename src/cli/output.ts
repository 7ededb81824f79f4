/** The forms of results, and the options that choose one. */
import { Option } from "@commander-js/extra-typings";
// @ts-types="./js_yaml.d.ts"
import { dump } from "js-yaml";
import { toPrintable } from "../printable.ts";

/** The forms of every result. "table" is the one for people, also where it is only a line. */
const FORMATS = ["table", "json", "yaml"] as const;

/** A form that programs can read. */
export type DataFormat = "json" | "yaml";

/** @param more the forms that only this command has */
export function outputOption<const More extends string = never>(...more: More[]) {
  return new Option("-o, --output <FORMAT>", "what to print").choices([...FORMATS, ...more])
    .default("table" as const);
}

/** The command gets it as `output`. */
export const JSON_OPTION = new Option("--json", "the same as -o json").conflicts("output");

/** For commands that print progress or notes. */
export const QUIET = new Option(
  "-q, --quiet",
  "print neither progress nor notes, only results, warnings and errors",
);

/** The same for commands whose result is verdicts. */
export const QUIET_VERDICTS = new Option("-q, --quiet", "print only warnings and problems");

/** Tells whether a form is for programs. */
export function isDataFormat(format: unknown): format is DataFormat {
  return format === "json" || format === "yaml";
}

/** Formats a result for programs. */
export function formatData(format: DataFormat, value: unknown): string {
  return format === "json" ? formatJson(value) : formatYaml(value);
}

/** JSON that does not control the terminal: in its strings all that does not print is escaped. */
function formatJson(value: unknown): string {
  return JSON.stringify(value, null, 2).split("\n").map((line) => `${toPrintable(line)}\n`).join("");
}

/** A YAML document of what the JSON has. It begins with a marker, which separates the documents of `--watch`. */
export function formatYaml(value: unknown): string {
  return `---\n${dump(JSON.parse(JSON.stringify(value)), { lineWidth: -1 })}`;
}
