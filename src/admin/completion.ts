import tab from "@bomb.sh/tab/commander";
import type { Command } from "@commander-js/extra-typings";
import type { Command as PlainCommand } from "commander";
import { addExamples } from "./help.ts";

const NAME = "completion";
const DESCRIPTION = "print a script that makes a shell complete commands and options";
const SHELLS = ["bash", "zsh", "fish"];

/**
 * Adds `completion SHELL`, which prints a script, and the hidden `complete`, which that script asks. Both know the
 * commands that are there by now, so this comes last. Descriptions must be single lines.
 */
export function addCompletionCommand(program: Command): void {
  const completions = tab(program as unknown as PlainCommand, { completionCommandName: NAME });
  const command = program.commands.find((command) => command.name() === NAME)!;
  command.description(DESCRIPTION);
  command.registeredArguments[0]!.choices(SHELLS).description = "the shell";
  // The library offers a shell more, which Linux nodes do not have.
  completions.command(NAME, DESCRIPTION)
    .argument("shell", (suggest) => SHELLS.forEach((shell) => suggest(shell, "")));
  addExamples(command, [
    ["completion bash > /usr/share/bash-completion/completions/rdma-cni", "for all users of bash"],
    ["completion zsh > /usr/local/share/zsh/site-functions/_rdma-cni", "of zsh"],
    ["completion fish > /etc/fish/completions/rdma-cni.fish", "of fish"],
  ]);
}
