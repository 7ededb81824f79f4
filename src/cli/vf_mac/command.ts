import { type Command, InvalidArgumentError } from "@commander-js/extra-typings";
import { State, STATE_DIRECTORY } from "../../plugin/state.ts";
import { ExitCode } from "../errors.ts";
import { addExamples } from "../help.ts";
import { type Context, printJson } from "../terminal.ts";
import { findPf } from "./find.ts";
import { initVfs, WithoutRdma } from "./init.ts";
import { formatTable, listVfs } from "./list.ts";
import { setAddress } from "./set.ts";

const TIMEOUT_S = 10;

const SET_NOTES = `
The address is set on the physical function, as "ip link set PF vf VF mac MAC" does; then the driver is taken away and
bound again, so that it makes the node GUID of the address, and the outcome is verified.

Exit codes:
  0  the function has the address
  1  it was refused, or the driver did not take it
  2  the command line cannot be understood; nothing was done`;

const INIT_NOTES = `
A function needs an address when the node GUID of its RDMA device is zero, or when it has no driver although functions
of its kind do RDMA. It keeps the address it was given or has by itself; else it gets one derived from that of the
physical function, the same after each reboot.

Left alone are functions that are ready, have no RDMA device, are for virtual machines, or that the host uses: whose
netdev has an IP address, is up with a carrier, or is below a bond, bridge, team, VLAN or macvlan; whose RDMA device a
program has open; which have a vDPA device, or a representor that is in a bridge.

Exit codes:
  0  no function needs an address now
  1  none of those that need one could be given it
  2  the command line cannot be understood; nothing was done
  3  some could not, or a signal came`;

/** Adds `vf-mac` and what stands below it. */
export function addVfMacCommand(program: Command, context: Context): void {
  const command = program.command("vf-mac")
    .description("list, set and derive the MAC addresses of virtual functions");
  addExamples(command, [
    ["vf-mac list", "which virtual functions are ready for RDMA connections?"],
    ["vf-mac init --all", "give an address to every one that needs it"],
    ["vf-mac set eth0 3 02:03:00:00:48:53", "give one an address of your choice"],
  ]);
  addList(command, context);
  addSet(command, context);
  addInit(command, context);
}

function addList(parent: Command, { kernel, terminal, exit }: Context): void {
  const command = parent.command("list")
    .description("list virtual functions, and whether each is ready for RDMA connections")
    .argument("[PF...]", "netdevs of physical functions; all if none is named")
    .option("--json", "print more, for machines")
    .action((names, options) => {
      const pfs = kernel.listPhysicalFunctions();
      const chosen = names.length === 0 ? pfs : names.map((name) => findPf(kernel, pfs, name));
      const vfs = listVfs(kernel, chosen);
      if (options.json) printJson(terminal, vfs);
      else terminal.out(formatTable(vfs));
      exit(ExitCode.ok);
    });
  addExamples(command, [["vf-mac list", "all of this node"], ["vf-mac list eth0 --json", "those of one PF"]]);
}

function addSet(parent: Command, { kernel, terminal, exit }: Context): void {
  const command = parent.command("set")
    .description("give one virtual function an address, bind its driver anew and verify the node GUID")
    .argument("<PF>", "netdev of the physical function")
    .argument("<VF>", "number of the virtual function")
    .argument("<MAC>", "unicast address, or with --guid a GUID of 16 hexadecimal digits")
    .option("--guid", "InfiniBand: set node and port GUID instead of a MAC address")
    .option("--no-rebind", "leave the driver alone: it takes the address at its next bind")
    .option("--force", "also when the host, a pod or a virtual machine uses the function")
    .option("--timeout <SECONDS>", "how long to wait for the driver's devices", parseSeconds, TIMEOUT_S)
    .option("--dry-run", "only say what would be done")
    .action(async (pf, vf, address, { rebind, force = false, dryRun = false, guid = false, timeout }) => {
      const options = { rebind, force, dryRun, guid, timeoutMs: timeout * 1000 };
      const node = { kernel, state: new State(STATE_DIRECTORY) };
      exit(await setAddress(node, terminal, { pf, vf, address }, options));
    });
  command.addHelpText("after", SET_NOTES);
  addExamples(command, [
    ["vf-mac set eth0 3 02:03:00:00:48:53", "now"],
    ["vf-mac set eth0 3 02:03:00:00:48:53 --no-rebind", "at the driver's next bind"],
    ["vf-mac set ib0 3 0203:00ff:fe00:4853 --guid", "on InfiniBand"],
  ]);
}

function addInit(parent: Command, { kernel, terminal, exit }: Context): void {
  const command = parent.command("init")
    .description("give an address to every virtual function that needs one; the others are left alone")
    .argument("[PF...]", "netdevs of physical functions")
    .option("--all", "all physical functions of this node")
    .option("--force <VF...>", "also these virtual functions of the one PF, even if they are in use")
    .option("--timeout <SECONDS>", "how long to wait for drivers' devices", parseSeconds, TIMEOUT_S)
    .option("--dry-run", "only say what would be done")
    .action(async (names, { all = false, force = [], dryRun = false, timeout }, own) => {
      if (all === (names.length > 0)) own.error("error: name physical functions, or give --all");
      if (force.length > 0 && names.length !== 1) {
        own.error("error: --force takes VFs of one physical function");
      }
      const options = { force, dryRun, timeoutMs: timeout * 1000 };
      const node = { kernel, state: new State(STATE_DIRECTORY), withoutRdma: new WithoutRdma() };
      exit(await initVfs(node, terminal, all ? undefined : names, options));
    });
  command.addHelpText("after", INIT_NOTES);
  addExamples(command, [
    ["vf-mac init eth0", "those of one PF"],
    ["vf-mac init --all --dry-run", "what would be done on this node"],
    ["vf-mac init eth0 --force 3", "those of one PF, and VF 3 of it even if it is in use"],
  ]);
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== "" && seconds > 0 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError("Want seconds, more than 0 and at most 3600.");
}
