/** One call of the plugin, done in the agent. */
import { dispatch, type Process } from "../cni/dispatch.ts";
import { LinuxKernel } from "../kernel/linux.ts";
import { Log, type Sink } from "../log.ts";
import { createPlugin } from "../plugin/plugin.ts";
import { INDEX_DIRECTORY, Memo } from "../plugin/record/memo.ts";
import { State, STATE_DIRECTORY } from "../plugin/record/state.ts";
import { openForAppending } from "../sys/fd.ts";
import { lockExclusively } from "../sys/lock.ts";
import type { Reply, Request } from "./protocol.ts";

/** The outcome of a call. */
export interface Done {
  readonly reply: Reply;
  /** Takes back what an ADD did, if it did something. Does not throw. */
  readonly undo?: () => void;
}

/** The kernel for one call. The time in the queue counts as waiting for the lock. */
class CallKernel extends LinuxKernel {
  /** In whole milliseconds: who does not want to wait at all gets a lock that is free. */
  queuedMs: number;

  constructor(arrivedAtUs: number) {
    super();
    this.queuedMs = Math.floor((this.getBootTimeUs() - arrivedAtUs) / 1000);
  }

  override readonly lock = (path: string, timeoutMs: number): Disposable | undefined => {
    return this.queuedMs <= timeoutMs ? lockExclusively(path, timeoutMs - this.queuedMs) : undefined;
  };
}

/**
 * Does a call as the executed program would, with sockets of its own.
 *
 * @param arrivedAtUs when its request came, in microseconds since boot
 * @param report takes the log lines of an undo, which come when nobody waits for them any more
 */
export async function doCall(
  { variables, input }: Request,
  arrivedAtUs: number,
  report: Sink,
): Promise<Done> {
  const kernel = new CallKernel(arrivedAtUs);
  let [lines, output] = ["", ""];
  let sink: Sink = (line) => {
    lines += line;
  };
  let undo: (() => void) | undefined;
  const log = new Log((line) => sink(line));
  using files = new DisposableStack();
  const process: Process = {
    getEnv: (name) => variables.get(name),
    readInput: () => new TextDecoder().decode(input),
    writeOutput(text, takeBack) {
      output = text;
      undo = takeBack;
    },
    openLogFile(path) {
      const file = files.use(openForAppending(path));
      sink = both(sink, (line) => file.write(new TextEncoder().encode(line)));
    },
    log,
  };
  const node = { kernel, state: new State(STATE_DIRECTORY), indexes: new Memo(INDEX_DIRECTORY) };
  const code = await dispatch(process, createPlugin(node));
  kernel.closeSockets();
  const reply = { code, log: lines, output };
  if (!undo) return { reply };
  const takeBack = undo;
  return {
    reply,
    undo() {
      sink = report; // the log file is closed
      kernel.queuedMs = 0;
      takeBack();
      kernel.closeSockets();
    },
  };
}

function both(one: Sink, other: Sink): Sink {
  return (line) => {
    one(line);
    other(line);
  };
}
