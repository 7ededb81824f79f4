// An agent whose calls do nothing to the node: a process of its own, with the path of its socket and the name of its program.
// It tells on standard output what it does. CNI_ARGS is the time that a call takes, in milliseconds, and CNI_PATH how often
// it prints its input.
import { Agent } from "../../src/agent/agent.ts";
import type { Done } from "../../src/agent/call.ts";
import type { Request } from "../../src/agent/protocol.ts";
import { Log } from "../../src/log.ts";
import { sleep } from "../../src/sys/libc.ts";

const [path, program] = Deno.args;

function tell(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function doCall({ variables, input }: Request): Promise<Done> {
  const [command, name, milliseconds = "0"] = ["COMMAND", "CONTAINERID", "ARGS"].map((variable) =>
    variables.get(`CNI_${variable}`)
  );
  tell(`begin ${name}`);
  sleep(Number(milliseconds));
  tell(`end ${name}`);
  const output = new TextDecoder().decode(input).repeat(Number(variables.get("CNI_PATH") ?? 1));
  const reply = { code: 0, log: "log\n", output };
  return Promise.resolve(command === "ADD" ? { reply, undo: () => tell(`undo ${name}`) } : { reply });
}

const log = new Log((line) => tell(/msg=(.*)/.exec(line)![1]!));
const clock = { getBootTimeUs: () => Math.round(performance.now() * 1000) };
const agent = new Agent(path!, program!, log, clock, doCall);
// As the agent itself does: for its first listener the runtime opens descriptors, and Deno 2.9 has one of its own later.
Deno.addSignalListener("SIGINT", () => Deno.exit(0));
tell("listens");
await agent.serve();
