import { type Command, InvalidArgumentError } from "@commander-js/extra-typings";
import { State, STATE_FOLDER } from "../plugin/state.ts";
import type { Context } from "./command.ts";
import { ExitCode } from "./error.ts";
import { printJson } from "./terminal.ts";
import { findPf } from "./vf_mac/find.ts";
import { formatTable } from "./vf_mac/format.ts";
import { toCommandError } from "./vf_mac/hold.ts";
import { initVfs } from "./vf_mac/init.ts";
import { listVfs } from "./vf_mac/list.ts";
import { setAddress } from "./vf_mac/set.ts";

const TIMEOUT_S = 10;

/** Adds `vf-mac` and what stands below it. */
export function addVfMacCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const node = { kernel, state: new State(STATE_FOLDER) };
  const command = program.command("vf-mac").description(
    "list and set the administrative MAC addresses of virtual functions",
  );

  command.command("list")
    .description("list virtual functions, and whether each is ready for RDMA connections")
    .argument("[PF...]", "netdevs of physical functions; all if none is named")
    .option("--json", "print more, for machines")
    .addHelpText("after", examples("vf-mac list", "vf-mac list eth0 --json"))
    .action(explained((names, options) => {
      const pfs = kernel.listPhysicalFunctions();
      const chosen = names.length === 0 ? pfs : names.map((name) => findPf(kernel, pfs, name));
      const vfs = listVfs(kernel, chosen);
      if (options.json) printJson(terminal, vfs);
      else terminal.out(formatTable(vfs));
      exit(ExitCode.ok);
    }));

  command.command("set")
    .description("give one virtual function an address, bind its driver anew and verify the node GUID")
    .argument("<PF>", "netdev of the physical function")
    .argument("<VF>", "number of the virtual function")
    .argument("<MAC>", "unicast address, or with --guid a GUID of 16 hexadecimal digits")
    .option("--guid", "InfiniBand: set node and port GUID instead of a MAC address")
    .option("--no-rebind", "leave the driver alone: it takes the address at its next bind")
    .option("--force", "also when a pod or a virtual machine uses the function")
    .option("--timeout <SECONDS>", "how long to wait for the driver's devices", parseSeconds, TIMEOUT_S)
    .option("--dry-run", "only say what would be done")
    .addHelpText(
      "after",
      examples("vf-mac set eth0 3 02:03:00:00:48:53", "vf-mac set ib0 3 0203:00ff:fe00:4853 --guid"),
    )
    .action(explained((pf, vf, address, options) => {
      const { rebind, force = false, dryRun = false, guid = false, timeout } = options;
      const how = { rebind, force, dryRun, guid, timeoutMs: timeout * 1000 };
      exit(setAddress(node, terminal, { pf, vf, address }, how));
    }));

  command.command("init")
    .description("give an address to every virtual function that needs one; the others are left alone")
    .argument("[PF...]", "netdevs of physical functions")
    .option("--all", "all physical functions of this node")
    .option("--force", "also when a pod or a virtual machine uses the function")
    .option("--timeout <SECONDS>", "how long to wait for each driver's devices", parseSeconds, TIMEOUT_S)
    .option("--dry-run", "only say what would be done")
    .addHelpText("after", examples("vf-mac init eth0", "vf-mac init --all --dry-run"))
    .action(explained(async (names, options, own) => {
      const { all = false, force = false, dryRun = false, timeout } = options;
      if (all === (names.length > 0)) own.error("error: name physical functions, or give --all");
      const how = { force, dryRun, timeoutMs: timeout * 1000 };
      exit(await initVfs(node, terminal, all ? undefined : names, how));
    }));
}

/** Has failures of the kernel explained to people. */
function explained<A extends unknown[]>(work: (...args: A) => void | Promise<void>) {
  return async (...args: A): Promise<void> => {
    try {
      await work(...args);
    } catch (error) {
      throw toCommandError(error);
    }
  };
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== "" && seconds > 0 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError("Want seconds, more than 0 and at most 3600.");
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  rdma-cni ${line}\n`).join("")}`.trimEnd();
}
