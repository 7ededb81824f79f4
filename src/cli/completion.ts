/** `completion`: scripts for shells, and what those ask on each Tab. */
import type { Argument, Command, Option } from "@commander-js/extra-typings";
import { toPrintable } from "../printable.ts";
import { quietly } from "../sys/errno.ts";
import { addExamples, HELP_COMMAND } from "./help.ts";
import type { Context } from "./terminal.ts";

/** What a script is told instead of words where the shell itself knows them. */
const FILES = ":files";
const DIRECTORIES = ":directories";

/** `complete -- WORD...` prints suggestions for the last of the words: each in a line, with a tab before its purpose. */
const ASK = "complete --";

const SCRIPTS: Readonly<Record<string, (name: string) => string>> = {
  // "=" is a word of its own there.
  bash: (name) => {
    const own = `_${name.replaceAll(/\W/g, "_")}`;
    return `\
# bash completion for ${name}
${own}() {
    local word line words=()
    for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
        [[ $word == = ]] || words+=("$word")
    done
    [[ $word == = ]] && words+=("")
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            ${FILES}) compopt -o default ;;
            ${DIRECTORIES}) compopt -o dirnames ;;
            *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
        esac
    done < <(${name} ${ASK} "\${words[@]}" 2>/dev/null)
}
complete -F ${own} ${name}
`;
  },
  // Sourced, or as a file that zsh loads as the function of its name.
  zsh: (name) =>
    `\
#compdef ${name}
_${name}() {
    local line tab=$'\\t'
    local -a suggestions typed=("\${(@Q)words[2,CURRENT]}")
    [[ $PREFIX == --*=* ]] && compset -P '*='
    for line in "\${(@f)$(${name} ${ASK} "\${typed[@]}" 2>/dev/null)}"; do
        case $line in
            ${FILES}) _files; return ;;
            ${DIRECTORIES}) _files -/; return ;;
            ?*) suggestions+=("\${\${line//:/\\\\:}/$tab/:}") ;;
        esac
    done
    _describe ${name} suggestions
}
if [[ $funcstack[1] == _${name} ]]; then
    _${name} "$@"
else
    compdef _${name} ${name}
fi
`,
  fish: (name) => {
    const own = `__${name.replaceAll(/\W/g, "_")}_complete`;
    return `\
# fish completion for ${name}
function ${own}
    set -l token (commandline -ct)
    set -l flag (string match -r -- '^--[^=]+=' "$token")
    set -l value (string replace -r -- '^--[^=]+=' '' "$token")
    for line in (${name} ${ASK} (commandline -opc)[2..-1] "$token" 2>/dev/null)
        switch $line
            case ${FILES}
                string replace -r -- '^' "$flag" (__fish_complete_path "$value")
            case ${DIRECTORIES}
                string replace -r -- '^' "$flag" (__fish_complete_directories "$value" '')
            case '*'
                echo -- "$flag$line"
        end
    end
end
complete -c ${name} -e
complete -c ${name} -f -a '(${own})'
`;
  },
};

/** Adds `completion SHELL`, which prints a script, and the hidden command that such scripts run. */
export function addCompletionCommand(program: Command, { kernel, terminal }: Context): void {
  const command = program.command("completion")
    .description("print a completion script for a shell")
    .addArgument(program.createArgument("<SHELL>", "the shell").choices(Object.keys(SCRIPTS)))
    .action((shell) => terminal.raw(SCRIPTS[shell as string]!(program.name())));
  addExamples(command, [
    ["completion bash > /usr/share/bash-completion/completions/rdma-cni", "for all users of bash"],
    ["completion zsh > /usr/local/share/zsh/site-functions/_rdma-cni", "for all users of zsh"],
    ["completion fish > /etc/fish/completions/rdma-cni.fish", "for all users of fish"],
  ]);

  const listPfs = () => quietly(() => kernel.listPhysicalFunctions().map(({ name }) => name)) ?? [];
  program.command("complete", { hidden: true })
    .argument("[WORD...]")
    .action((words) => terminal.raw(suggest(program, words, listPfs).map((line) => `${line}\n`).join("")));
}

/** What the words before the one to complete lead to. */
interface Typed {
  readonly command: Command;
  /** Only names of commands may follow. */
  readonly isHelp: boolean;
  /** The option that waits for its value. */
  readonly open: Option | undefined;
  /** The number of the command's arguments that are there. */
  readonly argumentCount: number;
}

function readTyped(program: Command, words: readonly string[]): Typed {
  let [command, isHelp, open, argumentCount] = [program, false, undefined as Option | undefined, 0];
  for (const word of words) {
    const isValue = open?.required || open?.optional && !word.startsWith("-");
    open = undefined;
    if (isValue) continue;
    const below = command.commands.find((one) => one.name() === word);
    if (word.startsWith("-")) open = findOption(command, word);
    else if (!below) argumentCount++;
    else if (word === HELP_COMMAND) isHelp = true;
    else command = below as Command;
  }
  return { command, isHelp, open, argumentCount };
}

/**
 * Suggests words for the last one of a command line.
 *
 * @param words those after the name of the program
 */
function suggest(program: Command, words: readonly string[], listPfs: () => readonly string[]): string[] {
  const current = words.at(-1) ?? "";
  const { command, isHelp, open, argumentCount } = readTyped(program, words.slice(0, -1));
  const [, flag, value] = /^(--[^=]+)=(.*)$/.exec(current) ?? [];
  const option = flag === undefined ? open : findOption(command, flag);
  if (option?.required) return valuesFor(option, value ?? current, listPfs);
  const help = command.createHelp();
  const commands = help.visibleCommands(command).map((one) => [one.name(), one.description()] as const);
  if (isHelp) return matching(commands.filter(([name]) => name !== HELP_COMMAND), current);
  if (current.startsWith("-")) {
    const options = help.visibleOptions(command).map(({ long, description }) => [long, description] as const);
    return matching(options, current);
  }
  const expected = command.registeredArguments;
  const last = expected.at(-1);
  const argument = expected[argumentCount] ?? (last?.variadic ? last : undefined);
  return [
    ...matching(commands, current),
    ...argument ? valuesFor(argument, current, listPfs) : [],
  ];
}

function findOption(command: Command, flag: string): Option | undefined {
  return command.options.find(({ long, short }) => [long, short].includes(flag)) as Option | undefined;
}

/** Suggests what an argument or the value of an option may be, by its choices, else by its name. */
function valuesFor(
  place: Pick<Option | Argument, "argChoices"> & ({ readonly flags: string } | { name(): string }),
  current: string,
  listPfs: () => readonly string[],
): string[] {
  const name = "flags" in place ? /[<[](\w+)/.exec(place.flags)?.[1] : place.name();
  if (place.argChoices) return matching(place.argChoices.map((choice) => [choice, ""]), current);
  if (name === "PF") return matching(listPfs().map((pf) => [pf, ""]), current);
  if (name === "DIR") return [DIRECTORIES];
  return name === "FILE" || name === "PATH" ? [FILES] : [];
}

function matching(
  suggestions: readonly (readonly [word: string | undefined, purpose: string])[],
  current: string,
): string[] {
  return suggestions.flatMap(([word, purpose]) =>
    word?.startsWith(current) ? [`${toPrintable(word)}\t${purpose}`] : []
  );
}
