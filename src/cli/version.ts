/** `version`. */
import type { Command } from "@commander-js/extra-typings";
import { VERSION } from "../version.ts";
import { addExamples } from "./help.ts";
import { JSON_OPTION, outputOption } from "./output.ts";
import type { Context } from "./terminal.ts";
import { perform } from "./watch.ts";

/** The build puts texts in place of these (deployment/build/bundle.ts). */
declare const BUILD_COMMIT: string;
declare const BUILD_DATE: string;

const FACTS = {
  version: VERSION,
  /** The commit that the build is of, and when it was made; "unknown" if the build did not know. */
  commit: typeof BUILD_COMMIT === "undefined" ? "unknown" : BUILD_COMMIT,
  date: typeof BUILD_DATE === "undefined" ? "unknown" : BUILD_DATE,
  runtime: `Deno ${Deno.version.deno}`,
  architecture: Deno.build.arch,
};

/** Adds `version`. */
export function addVersionCommand(program: Command, context: Context): void {
  const command = program.command("version")
    .description("print the version, the commit that it was built from, the runtime and the architecture")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .action(() => perform(context, () => ({ value: FACTS, text: `${formatVersion()}\n` })));
  addExamples(command, [["version", "for people"], ["version -o json | jq -r .commit", "for scripts"]]);
}

/** The first line is the name and the version, as in `--version` of other programs. */
export function formatVersion(): string {
  const { version, ...more } = FACTS;
  return [["rdma-cni", version], ...Object.entries(more)].map((words) => words.join(" ")).join("\n");
}
