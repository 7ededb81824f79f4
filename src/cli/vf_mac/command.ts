/** The command line of `vf-mac`. */
import type { Command } from "@commander-js/extra-typings";
import { Memo, NO_RDMA_DIRECTORY } from "../../plugin/record/memo.ts";
import { State, STATE_DIRECTORY } from "../../plugin/record/state.ts";
import { addExamples, addNotes } from "../help.ts";
import { numberReader } from "../option_values.ts";
import { JSON_OPTION, outputOption, QUIET } from "../output.ts";
import { formatTable } from "../table.ts";
import type { Context } from "../terminal.ts";
import { perform, WATCH } from "../watch.ts";
import { findPf } from "./find.ts";
import { initVfs } from "./init.ts";
import { setAddress } from "./set.ts";
import { listVfs } from "../../node/functions.ts";
import { VF_TABLE } from "./table.ts";

const TIMEOUT_S = 10;

const readSeconds = numberReader("seconds", 0.1, 3600);

const SET_NOTES = `
The address is set on the physical function, as "ip link set PF vf VF mac MAC" does; then the driver is
rebound, so that it derives the node GUID from the address, and the result is verified.

Exit codes:
  0  the function has the address
  1  it was refused, or the driver did not take it
  2  wrong command line; nothing was done`;

const INIT_NOTES = `
A function needs an address when the node GUID of its RDMA device is zero, or when it has no driver although
functions of its kind support RDMA. One whose node GUID is good but whose administrative address is zero gets
the address that its netdev has, without a rebind, so that the next rebind does not lose the node GUID. A
function keeps the address that it was given or has by itself; otherwise it gets one that is derived from the
address of the physical function, the same after each reboot.

Functions that are ready, have no RDMA device or are for virtual machines are left alone. So are those that
the host uses: the netdev has an IP address, is up with a carrier, or is below a bond, bridge, team, VLAN or
macvlan; a program has the RDMA device open; there is a vDPA device, or a representor in a bridge.

Exit codes:
  0  no function needs an address now
  1  none of those that need one could be given an address
  2  wrong command line; nothing was done
  3  some could not be given one, or a signal stopped it`;

/** Adds `vf-mac` and its subcommands. */
export function addVfMacCommand(program: Command, context: Context): void {
  const command = program.command("vf-mac")
    .description("list, set and derive the MAC addresses of virtual functions");
  addExamples(command, [
    ["vf-mac list", "which virtual functions are ready for RDMA connections?"],
    ["vf-mac init --all", "give an address to each one that needs it"],
    ["vf-mac set eth0 3 02:03:00:00:48:53", "give one an address of your choice"],
  ]);
  addList(command, context);
  addSet(command, context);
  addInit(command, context);
}

function addList(parent: Command, context: Context): void {
  const { kernel } = context;
  const command = parent.command("list")
    .description("list virtual functions, and whether each is ready for RDMA connections")
    .argument("[PF...]", "netdevs of physical functions; all if none is named")
    .addOption(outputOption("wide"))
    .addOption(JSON_OPTION)
    .addOption(WATCH)
    .addOption(QUIET)
    .action((names, { output, watch }) => {
      const list = () => {
        const pfs = kernel.listPhysicalFunctions();
        const vfs = listVfs(
          kernel,
          names.length === 0 ? pfs : names.map((name) => findPf(kernel, pfs, name)),
        );
        const value = vfs.map(({ pf, number, deviceId, ...facts }) => ({
          pf,
          number,
          deviceID: deviceId,
          ...facts,
        }));
        return { value, text: formatTable(VF_TABLE, vfs, output === "wide") };
      };
      return perform(context, list, { watch });
    });
  addExamples(command, [
    ["vf-mac list", "all of this node"],
    ["vf-mac list -o wide", "also who uses each"],
    ["vf-mac list eth0 --json", "those of one PF, with more facts"],
    ["vf-mac list eth0 --watch", "every two seconds"],
  ]);
}

function addSet(parent: Command, context: Context): void {
  const command = parent.command("set")
    .description("set the address of one virtual function, rebind its driver and verify the node GUID")
    .argument("<PF>", "netdev of the physical function")
    .argument("<VF>", "number of the virtual function")
    .argument("<MAC>", "unicast address, or with --guid a GUID of 16 hexadecimal digits")
    .option("--guid", "InfiniBand: set node and port GUID instead of a MAC address")
    .option("--no-rebind", "leave the driver alone: it takes the address at its next bind")
    .option("--force", "even if the host, a pod or a virtual machine uses the function")
    .option("--timeout <SECONDS>", "how long to wait for the driver's devices", readSeconds, TIMEOUT_S)
    .option("--dry-run", "only print what would be done")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET)
    .action((pf, vf, address, { timeout, ...options }) => {
      const node = { kernel: context.kernel, state: new State(STATE_DIRECTORY) };
      const how = { ...options, timeoutMs: timeout * 1000 };
      return perform(context, () => setAddress(node, { pf, vf, address }, how));
    });
  addNotes(command, SET_NOTES);
  addExamples(command, [
    ["vf-mac set eth0 3 02:03:00:00:48:53", "now"],
    ["vf-mac set eth0 3 02:03:00:00:48:53 --no-rebind", "at the driver's next bind"],
    ["vf-mac set ib0 3 0203:00ff:fe00:4853 --guid", "on InfiniBand"],
  ]);
}

function addInit(parent: Command, context: Context): void {
  const command = parent.command("init")
    .description("give an address to every virtual function that needs one; leave the others alone")
    .argument("[PF...]", "netdevs of physical functions")
    .option("--all", "all physical functions of this node")
    .option("--force <VF...>", "include these virtual functions of the PF even if they are in use")
    .option("--timeout <SECONDS>", "how long to wait for drivers' devices", readSeconds, TIMEOUT_S)
    .option("--dry-run", "only print what would be done")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET)
    .action((names, { all = false, force = [], dryRun = false, timeout }, own) => {
      if (all === (names.length > 0)) own.error("error: name physical functions, or give --all");
      if (force.length > 0 && names.length !== 1) {
        own.error("error: --force takes VFs of one physical function");
      }
      const { kernel, terminal } = context;
      const node = { kernel, state: new State(STATE_DIRECTORY), noRdma: new Memo(NO_RDMA_DIRECTORY) };
      const options = { force, dryRun, timeoutMs: timeout * 1000 };
      return perform(context, () => initVfs(node, terminal, all ? undefined : names, options));
    });
  addNotes(command, INIT_NOTES);
  addExamples(command, [
    ["vf-mac init eth0", "those of one PF"],
    ["vf-mac init --all --dry-run", "what would be done on this node"],
    ["vf-mac init --all -o json", "with the outcome of each virtual function as JSON"],
    ["vf-mac init eth0 --force 3", "those of one PF, and VF 3 of it even if it is in use"],
  ]);
}
