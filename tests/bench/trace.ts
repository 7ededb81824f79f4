/** A trace by the kernel of the order in which calls come and are done, and of what it does with their devices. */
const TRACING = "/sys/kernel/debug/tracing";

/** Begin and end of a move, and who asks the agent (Documentation/trace/kprobetrace.rst). */
const PROBES = [
  "p:move_begin rdma_dev_change_netns",
  "r:move_end rdma_dev_change_netns",
  "p:asked unix_stream_connect",
];

/** Executed calls have their turn when they get the lock; the agent's are done in turn, and the launcher ends then. */
const EVENTS = {
  executed: ["filelock/flock_lock_inode", "kprobes/move_begin", "kprobes/move_end"],
  agent: ["sched/sched_process_exit", "kprobes"],
};

/** The times of one call, in milliseconds since boot. */
interface Call {
  cameAt: number;
  turnAt?: number;
}

/** What calls did, in the order in which it happened. */
export interface Traced {
  /** The time that the kernel took to move a device, of each move. */
  moveMs: number[];
  /** The number of calls that came later and had their turn earlier, of the call with the most. */
  overtaken: number;
}

/** Traces all processes until it is disposed of. */
export class Trace implements Disposable {
  private constructor(readonly events: readonly string[]) {}

  static start(by: keyof typeof EVENTS): Trace {
    write("kprobe_events", PROBES.join("\n"));
    write("trace_clock", "mono");
    const trace = new Trace(EVENTS[by]);
    for (const event of trace.events) write(`events/${event}/enable`, "1");
    return trace;
  }

  read(): Traced {
    return parseTrace(Deno.readTextFileSync(`${TRACING}/trace`));
  }

  [Symbol.dispose](): void {
    for (const event of this.events) write(`events/${event}/enable`, "0");
    write("kprobe_events", "");
    write("trace", "");
  }
}

function write(file: string, text: string): void {
  Deno.writeTextFileSync(`${TRACING}/${file}`, text);
}

/** Lines are `COMMAND-PID [CPU] FLAGS SECONDS: EVENT: DETAILS`. */
function parseTrace(text: string): Traced {
  const calls = new Map<string, Call>();
  const moveMs: number[] = [];
  let moveBegin = NaN;
  for (const line of text.split("\n")) {
    const [, pid = "", seconds, event, details = ""] =
      /-(\d+) +\[\d+\] \S+ +([\d.]+): (\w+): (.*)/.exec(line) ?? [];
    const at = Number(seconds) * 1000;
    if (event === "move_begin") moveBegin = at;
    else if (event === "move_end") moveMs.push(at - moveBegin); // the kernel does one at a time
    else if (event === "sched_process_exit") {
      const call = calls.get(pid);
      if (call) call.turnAt = at;
    } else if (event === "asked" || (event === "flock_lock_inode" && !details.includes("F_UNLCK"))) {
      const call = calls.get(pid) ?? { cameAt: at };
      calls.set(pid, call);
      if (details.endsWith(" ret=0")) call.turnAt = at; // else 1, FILE_LOCK_DEFERRED
    }
  }
  const all = [...calls.values()].filter((call): call is Required<Call> => call.turnAt !== undefined);
  const overtaken = all.map(({ cameAt, turnAt }) =>
    all.filter((other) => other.cameAt > cameAt && other.turnAt < turnAt).length
  );
  return { moveMs, overtaken: Math.max(0, ...overtaken) };
}
