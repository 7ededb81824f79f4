import { Argument, type Command, Option } from "@commander-js/extra-typings";
import type { Context } from "../context.ts";
import { addExamples, refuseUnknownCommands } from "../help.ts";
import { checkMode } from "./check.ts";
import { getMode } from "./get.ts";
import { setMode } from "./set.ts";

const MODES = ["exclusive", "shared"] as const;

const SET_NOTES = `
The kernel refuses while network namespaces other than the host's exist; they are listed then.

Exit codes:
  0  the mode holds; with --persist it also will
  1  it could not be set, or not be persisted
  2  the command line cannot be understood; nothing was done
  4  it could not be set now and is persisted: it needs a reboot`;

/** Adds `netns-mode` and what stands below it. */
export function addNetnsModeCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const command = program.command("netns-mode")
    .description("show, set, check and persist the RDMA namespace mode");
  refuseUnknownCommands(command);
  addExamples(command, [
    ["netns-mode", "print the mode"],
    ["netns-mode set exclusive --persist", "give each RDMA device to one namespace, now and after reboots"],
    ["netns-mode check --expect exclusive", "tell by the exit code, for health checks"],
  ]);

  const get = command.command("get", { isDefault: true })
    .description("print the mode: exclusive or shared")
    .option("--json", "print also whether it is persisted, where, and whether it could be changed now")
    .action((options) => exit(getMode(kernel, terminal, options)));
  addExamples(get, [["netns-mode get", "print the mode"], [
    "netns-mode get --json",
    "print more, for machines",
  ]]);

  const set = command.command("set")
    .description("set the mode, now and on request for later boots")
    .addArgument(new Argument("<mode>", "what the mode shall be").choices(MODES))
    .option("--persist", "also write it to /etc/modprobe.d/rdma-cni.conf")
    .option("--dry-run", "tell what would be done, with the exit code it would have, and do nothing")
    .option("--json", "print what was done, and what stands in the way, for machines")
    .action((mode, options) => exit(setMode(kernel, terminal, mode, options)));
  set.addHelpText("after", SET_NOTES);
  addExamples(set, [
    ["netns-mode set exclusive", "until the next reboot"],
    ["netns-mode set exclusive --persist", "also after reboots"],
    ["netns-mode set shared --persist --dry-run", "what that would do"],
  ]);

  const check = command.command("check")
    .description("tell by exit code 0 or 1 and one line whether the mode is the expected one")
    .addOption(
      new Option("--expect <mode>", "the expected mode").choices(MODES).default("exclusive" as const),
    )
    .option("--json", "print the answer for machines")
    .action((options) => exit(checkMode(kernel, terminal, options)));
  addExamples(check, [["netns-mode check", "is it exclusive?"], [
    "netns-mode check --expect shared",
    "is it shared?",
  ]]);
}
