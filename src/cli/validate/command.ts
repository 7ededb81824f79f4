import type { Command } from "@commander-js/extra-typings";
import { readAll } from "../../cni/stdio.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { addExamples, addNotes } from "../help.ts";
import { JSON_OPTION, outputOption, QUIET_VERDICTS } from "../output.ts";
import { EXIT_CODES, formatVerdicts, note, type Summary, type VerdictLine, worstLevel } from "../report.ts";
import type { Context } from "../terminal.ts";
import { type FileVerdict, formatPlace, judgeFiles, type TextFile } from "./validate.ts";
import { messageOf, quietly } from "../../sys/errno.ts";

const NOTES = `
A file holds one network configuration, or a list of plugins (.conflist), as JSON; or, as YAML or JSON, any number of
NetworkAttachmentDefinitions, or of the kinds that operators make these of: SriovNetwork, SriovIBNetwork, OVSNetwork,
MacvlanNetwork, HostDeviceNetwork, SpiderMultusConfig, and OpenShift's Network (additionalNetworks). Other objects of a
cluster in it are left out, but resources are looked for in the SriovNetworkNodePolicies of all files. Of a directory all
files are read whose names end in .yaml, .yml, .json, .conf or .conflist; a FIFO, a socket or a device there is noted and
not read. "-" is standard input.

Exit codes:
  0  no problem; with --strict no warning either
  1  problems: pods would get no RDMA
  2  wrong command line, a file cannot be read, or a directory has none; nothing was checked
  3  with --strict: warnings only`;

/** Adds `validate`. */
export function addValidateCommand(program: Command, { terminal, exit }: Context): void {
  const command = program.command("validate")
    .description("check network configurations before a runtime or a cluster gets them")
    .argument("<FILE...>", "files of networks, or directories of such files; - for standard input")
    .option("--strict", "fail on warnings too")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET_VERDICTS)
    .action(async (files, { strict = false }) => {
      const given = files.flatMap(readFiles);
      const read = given.filter((one): one is TextFile => !("level" in one));
      const notes = given.filter((one) => "level" in one);
      const { networks, findings: verdicts } = await judgeFiles(read);
      const findings = [...verdicts, ...notes];
      const level = worstLevel(findings);
      const text = formatVerdicts(findings.map(toLine), summaryOf(networks, read));
      const code = level === "warning" && !strict ? ExitCode.ok : EXIT_CODES[level];
      exit(terminal.print({ code, value: { level, findings }, text }));
    });
  addNotes(command, NOTES);
  addExamples(command, [
    ["validate 10-roce.conflist", "a chain for a runtime that reads /etc/cni/net.d"],
    ["validate --strict networks", "all files of a directory; for continuous integration, warnings fail too"],
    ["validate - --json", "what comes on standard input, such as kubectl get net-attach-def -A -o yaml"],
  ]);
}

/** The name by which people know a file of the command line. */
function nameOf(file: string): string {
  return file === "-" ? "standard input" : file;
}

function toLine({ file, network, text, ...verdict }: FileVerdict): VerdictLine {
  return {
    ...verdict,
    about: formatPlace({ ...verdict, file: nameOf(file) }),
    text: network === undefined ? text : `${network}: ${text}`,
  };
}

function summaryOf(networks: number, files: readonly TextFile[]): Summary {
  const [first, ...more] = files.map(({ file }) => nameOf(file));
  const where = more.length === 0 ? first : `${files.length} files`;
  const checked = `${networks} network${networks === 1 ? "" : "s"} in ${where}:`;
  return { good: `${checked} no problems.`, bad: checked };
}

/** Names of files in a directory that may hold networks; the first two are those of libcni (libcni/conf.go). */
const NETWORK_FILE = /\.(?:conf|conflist|json|yaml|yml)$/;

/**
 * A file, or those of a directory and the directories in it; in the place of one that is something else, a note.
 *
 * @throws {CommandError} when one cannot be read
 */
function readFiles(path: string): (TextFile | FileVerdict)[] {
  if (!isDirectory(path)) return [{ file: path, text: readFile(path) }];
  const found = listFiles(path).filter((file) => NETWORK_FILE.test(file)).map((file) => {
    const kind = kindOf(file);
    return kind === undefined
      ? { file, text: readFile(file), isFound: true }
      : { file, ...note(`it is a ${kind}, and was not read`, "put networks into files") };
  });
  if (found.some((one) => "text" in one && "isFound" in one)) return found;
  throw new CommandError(
    `Cannot check ${
      JSON.stringify(path)
    }: no file there has a name that ends in .yaml, .yml, .json, .conf or .conflist`,
    "Give the directory that has the networks, or name their files.",
    ExitCode.usage,
  );
}

function isDirectory(path: string): boolean {
  return kindOf(path) === "directory";
}

/** Standard input, and what a shell has opened: the pipe of `<(...)`. */
const OPENED = /^(?:-|\/dev\/stdin|\/dev\/fd\/\d+)$/;

/** The kind of what is there instead of a file. Undefined also where nothing is, or is to be seen: reading says so. */
function kindOf(path: string): string | undefined {
  if (OPENED.test(path)) return undefined;
  const info = quietly(() => Deno.statSync(path));
  if (!info || info.isFile) return undefined;
  return info.isDirectory ? "directory" : info.isFifo ? "FIFO" : info.isSocket ? "socket" : "device";
}

/** Links to directories are not followed, since they may lead back. */
function listFiles(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)].sort((a, b) => a.name < b.name ? -1 : 1).flatMap((entry) => {
      const path = `${directory.replace(/\/$/, "")}/${entry.name}`;
      return entry.isDirectory ? listFiles(path) : isDirectory(path) ? [] : [path];
    });
  } catch (error) {
    throw cannotCheck(directory, error);
  }
}

/** A file may hold all networks of a cluster. */
const FILE_LIMIT = 8 * 1024 * 1024;

/** @throws {CommandError} when it cannot be read, or is too long */
function readFile(path: string): string {
  try {
    if (path === "-") return readAll(Deno.stdin, FILE_LIMIT);
    const kind = kindOf(path);
    if (kind !== undefined) {
      const message = `Cannot check ${JSON.stringify(path)}: it is a ${kind}, not a file`;
      throw new CommandError(
        message,
        'Give a file or a directory, or "-" for standard input.',
        ExitCode.usage,
      );
    }
    using file = Deno.openSync(path);
    return readAll(file, FILE_LIMIT);
  } catch (error) {
    throw cannotCheck(path, error);
  }
}

function cannotCheck(path: string, cause: unknown): CommandError {
  if (cause instanceof CommandError) return cause;
  const name = path === "-" ? nameOf(path) : JSON.stringify(path);
  return new CommandError(`Cannot check ${name}: ${messageOf(cause)}`, undefined, ExitCode.usage, { cause });
}
