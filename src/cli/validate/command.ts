import type { Command } from "@commander-js/extra-typings";
import { readAll } from "../../cni/stdio.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { addExamples } from "../help.ts";
import { EXIT_CODES, type Line, printVerdicts, type Summary, worstLevel } from "../report.ts";
import { type Context, printJson } from "../terminal.ts";
import { type FileVerdict, judgeFiles } from "./validate.ts";
import { messageOf } from "../../sys/errno.ts";

const NOTES = `
A file holds one network configuration, or a list of plugins (.conflist), as JSON; or NetworkAttachmentDefinitions of
Multus, as YAML or JSON. Other objects of a cluster in it are left out. "-" is standard input.

Exit codes:
  0  no problem; with --strict no warning either
  1  problems: pods would get no RDMA
  2  the command line cannot be understood, or a file not be read; nothing was checked
  3  with --strict: warnings only`;

/** Adds `validate`. */
export function addValidateCommand(program: Command, { terminal, exit }: Context): void {
  const command = program.command("validate")
    .description("check network configurations before a runtime or a cluster gets them")
    .argument("<FILE...>", "network configurations or NetworkAttachmentDefinitions, - for standard input")
    .option("--strict", "fail on warnings too")
    .option("--json", "print the findings for machines")
    .action(async (files, { strict = false, json }) => {
      const findings = await judgeFiles(files.map((file) => ({ file, text: readText(file) })));
      const level = worstLevel(findings);
      if (json) printJson(terminal, { level, findings });
      else printVerdicts(terminal, findings.map(toLine), summaryOf(files));
      exit(level === "warning" && !strict ? ExitCode.ok : EXIT_CODES[level]);
    });
  command.addHelpText("after", NOTES);
  addExamples(command, [
    ["validate 10-roce.conflist", "a chain for a runtime that reads /etc/cni/net.d"],
    ["validate --strict networks/*.yaml", "for continuous integration: warnings fail too"],
    ["validate - --json", "what comes on standard input, such as kubectl get net-attach-def -A -o yaml"],
  ]);
}

/** What people call a file of the command line. */
function nameOf(file: string): string {
  return file === "-" ? "standard input" : file;
}

function toLine({ file, network, text, ...verdict }: FileVerdict): Line {
  return { ...verdict, about: nameOf(file), text: network === undefined ? text : `${network}: ${text}` };
}

function summaryOf(files: readonly string[]): Summary {
  const [first, ...more] = files.map(nameOf);
  return more.length === 0
    ? { good: `${first} is good.`, bad: `${first} has` }
    : { good: `${files.length} files are good.`, bad: `${files.length} files have` };
}

/** A file may hold all networks of a cluster. */
const FILE_LIMIT = 8 * 1024 * 1024;

/** @throws {CommandError} when it cannot be read, or is too long */
function readText(path: string): string {
  try {
    if (path === "-") return readAll(Deno.stdin, FILE_LIMIT);
    using file = Deno.openSync(path);
    return readAll(file, FILE_LIMIT);
  } catch (error) {
    const reason = messageOf(error);
    const name = path === "-" ? nameOf(path) : JSON.stringify(path);
    throw new CommandError(`Cannot check ${name}: ${reason}`, undefined, ExitCode.usage, {
      cause: error,
    });
  }
}
