/** `agent`: the resident process that does the calls of the plugin. */
import { type Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { askAgent } from "../../agent/ask.ts";
import type { Address } from "../../agent/http.ts";
import type { AgentOptions } from "../../agent/main.ts";
import { SOCKET } from "../../agent/protocol.ts";
import { messageOf } from "../../sys/errno.ts";
import { replaceProcess } from "../../sys/signals.ts";
import { CommandError } from "../errors.ts";
import { addExamples, addNotes } from "../help.ts";
import { DIRECTORY, ownSources } from "../install/command.ts";
import { install } from "../install/install.ts";
import { readAbsolutePath, readDuration } from "../option_values.ts";
import { JSON_OPTION, outputOption } from "../output.ts";
import type { Context, Result } from "../terminal.ts";
import { SERVE } from "../../version.ts";
import { runOnHost } from "./host.ts";

const NOTES = `
DIR/rdma asks the agent first, and executes the program when none answers: without an agent, and with one of another
version, calls work as always. The agent ends when another version is installed; what supervises it starts that.

Exit codes:
  0  a signal or another version ended it; with --check: an agent answers
  1  failed; with --check: none answers
  2  wrong command line; nothing was done`;

/** Adds `agent`. */
export function addAgentCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const command = program.command("agent")
    .description("do the calls of the plugin in one resident process")
    .option(
      "--gc-interval <DURATION>",
      "do what gc does at the start and every so often: 15m, 900s",
      readDuration,
    )
    .option("--metrics <ADDRESS:PORT>", "serve /metrics for Prometheus, and /healthz", readAddress)
    .option("--socket <PATH>", "for tests: calls come only by the default one", readAbsolutePath, SOCKET)
    .option(
      "--host-cni-bin-dir <DIR>",
      "in a container: install the plugin, and run what the node has in DIR",
      readAbsolutePath,
    )
    .addOption(
      new Option("--cni-bin-dir <DIR>", "with it: where the container has that directory").argParser(
        readAbsolutePath,
      )
        .default(DIRECTORY),
    )
    .option("--check", "only say whether an agent answers, and what it has done")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .action((options) => {
      const { check, socket, hostCniBinDir, cniBinDir, gcInterval = 0, metrics } = options;
      if (check) return exit(terminal.print(checkAgent(socket, terminal.format !== undefined)));
      const settings: AgentOptions = { socket, gcIntervalMs: gcInterval, metrics };
      const args = [SERVE, JSON.stringify(settings)];
      // The agent is a process of its own, so that it does not keep what only the command line needs.
      if (hostCniBinDir === undefined) return replaceProcess(Deno.execPath(), ["rdma-cni", ...args]);
      terminal.print(install(terminal, kernel, cniBinDir, ownSources()));
      return runOnHost(hostCniBinDir, args);
    });
  addNotes(command, NOTES);
  addExamples(command, [
    ["agent --gc-interval 15m", "rdma-cni-agent.service runs it so"],
    ["agent --gc-interval 15m --metrics 0.0.0.0:9567", "with metrics for Prometheus"],
    ["agent --host-cni-bin-dir /opt/cni/bin", "in a privileged container with the node's processes"],
    ["agent --check", "whether one answers"],
  ]);
}

function checkAgent(socket: string, isData: boolean): Result {
  try {
    const answer = askAgent(socket, isData ? "json" : "text");
    return isData ? { value: JSON.parse(answer) } : { text: answer };
  } catch (cause) {
    throw new CommandError(
      messageOf(cause),
      'Calls are executed, as without an agent. "systemctl start rdma-cni-agent" starts one, or the component "agent".',
      undefined,
      { cause },
    );
  }
}

/** Reads `ADDRESS:PORT`; an IPv6 address is in brackets. */
function readAddress(text: string): Address {
  const [, ipv6, other, port] = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const hostname = ipv6 ?? other;
  if (hostname !== undefined && Number(port) >= 1 && Number(port) <= 65535) {
    return { hostname, port: Number(port) };
  }
  throw new InvalidArgumentError("Want ADDRESS:PORT, such as 127.0.0.1:9567 or [::]:9567.");
}
