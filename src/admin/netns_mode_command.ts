import type { Command } from "@commander-js/extra-typings";
import type { Context } from "./command.ts";
import { getMode } from "./netns_mode.ts";

/** Adds `netns-mode` and what stands below it. */
export function addNetnsModeCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const command = program.command("netns-mode").description(
    "show, set, check and persist the RDMA namespace mode",
  );
  command.command("get", { isDefault: true })
    .description("print the mode: exclusive or shared")
    .option("--json", "print more, for machines")
    .action((options) => exit(getMode(kernel, terminal, options)));
}
