/** A trace by the kernel of the order in which calls come and are done, and of what it does with their devices. */
const TRACING = "/sys/kernel/debug/tracing";

/** Begin and end of a move, and who asks the agent (Documentation/trace/kprobetrace.rst). */
const PROBES = [
  "p:move_begin rdma_dev_change_netns",
  "r:move_end rdma_dev_change_netns",
  "p:asked unix_stream_connect",
];

/** Executed calls line up for the lock, whose turn it is gets it; the agent's are done in turn, then the launcher ends. */
const EVENTS = {
  executed: ["filelock/flock_lock_inode", "kprobes/move_begin", "kprobes/move_end"],
  agent: ["sched/sched_process_exit", "kprobes"],
};

/** What calls did, in the order in which it happened. */
export interface Traced {
  moveMs: number[];
  /** The number of calls that came later and had their turn earlier, of the call with the most. */
  overtaken: number;
}

export class Trace implements Disposable {
  constructor(readonly by: keyof typeof EVENTS) {
    write("kprobe_events", PROBES.join("\n"));
    write("trace_clock", "mono");
    for (const event of EVENTS[by]) write(`events/${event}/enable`, "1");
  }

  /** Lines are `COMMAND-PID [CPU] FLAGS SECONDS: EVENT: DETAILS`. */
  read(): Traced {
    const cameAt = new Map<string, number>();
    const turnAt = new Map<string, number>();
    const moveMs: number[] = [];
    let moveBegin = NaN;
    for (const line of Deno.readTextFileSync(`${TRACING}/trace`).split("\n")) {
      const [, pid = "", seconds, event, details = ""] =
        /-(\d+) +\[\d+\] \S+ +([\d.]+): (\w+): (.*)/.exec(line) ?? [];
      const at = Number(seconds) * 1000;
      if (event === "move_begin") moveBegin = at;
      else if (event === "move_end") moveMs.push(at - moveBegin); // the kernel does one at a time
      else if (event === "sched_process_exit") turnAt.set(pid, at);
      else if (event === "asked" || (event === "flock_lock_inode" && !/F_UNLCK|ret=-11$/.test(details))) { // EAGAIN
        if (!cameAt.has(pid)) cameAt.set(pid, at);
        if (details.endsWith(" ret=0")) turnAt.set(pid, at); // else 1, FILE_LOCK_DEFERRED
      }
    }
    const calls = [...cameAt].flatMap(([pid, came]) =>
      turnAt.has(pid) ? [{ came, turn: turnAt.get(pid)! }] : []
    );
    const overtaken = calls.map(({ came, turn }) =>
      calls.filter((other) => other.came > came && other.turn < turn).length
    );
    return { moveMs, overtaken: Math.max(0, ...overtaken) };
  }

  [Symbol.dispose](): void {
    for (const event of EVENTS[this.by]) write(`events/${event}/enable`, "0");
    write("kprobe_events", "");
    write("trace", "");
  }
}

function write(file: string, text: string): void {
  Deno.writeTextFileSync(`${TRACING}/${file}`, text);
}
