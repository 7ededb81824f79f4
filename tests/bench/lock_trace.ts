/** A trace by the kernel of what the plugin's calls do with its lock, and the kernel with their devices. */
const TRACING = "/sys/kernel/debug/tracing";
const LOCK = "filelock/flock_lock_inode";

/** Begin and end of a move (Documentation/trace/kprobetrace.rst). */
const PROBES = ["p:move_begin rdma_dev_change_netns", "r:move_end rdma_dev_change_netns"];

/** The times of one process, in milliseconds since boot. */
interface Times {
  /** It got the lock, or was put into the queue of those that wait for it. */
  queued?: number;
  locked?: number;
  moveBegin?: number;
  moveEnd?: number;
  unlocked?: number;
}

/** Traces all processes until it is disposed of. */
export class LockTrace implements Disposable {
  static start(): LockTrace {
    write("kprobe_events", PROBES.join("\n"));
    write("trace_clock", "mono");
    for (const event of [LOCK, "kprobes"]) write(`events/${event}/enable`, "1");
    return new LockTrace();
  }

  /**
   * Returns what the calls did that have moved a device, in the order in which they got the lock.
   *
   * @param slowness by which all times are divided
   */
  read(slowness = 1): { moveMs: number[]; lockedMs: number[]; inTurnMs: number; overtaken: number } {
    const calls = parseTrace(Deno.readTextFileSync(`${TRACING}/trace`));
    return {
      inTurnMs: (calls.at(-1)!.unlocked - calls[0]!.locked) / slowness,
      moveMs: calls.map(({ moveBegin, moveEnd }) => (moveEnd - moveBegin) / slowness),
      lockedMs: calls.map(({ locked, unlocked }) => (unlocked - locked) / slowness),
      overtaken: Math.max(
        ...calls.map(({ queued, locked }) =>
          calls.filter((other) => other.queued > queued && other.locked < locked).length
        ),
      ),
    };
  }

  [Symbol.dispose](): void {
    for (const event of [LOCK, "kprobes"]) write(`events/${event}/enable`, "0");
    write("kprobe_events", "");
    write("trace", "");
  }
}

function write(file: string, text: string): void {
  Deno.writeTextFileSync(`${TRACING}/${file}`, text);
}

/** Lines are `COMMAND-PID [CPU] FLAGS SECONDS: EVENT: DETAILS`. */
function parseTrace(text: string): Required<Times>[] {
  const processes = new Map<string, Times>();
  for (const line of text.split("\n")) {
    const [, pid, seconds, event, details] = /-(\d+) +\[\d+\] \S+ +([\d.]+): (\w+): (.*)/.exec(line) ?? [];
    if (pid === undefined) continue;
    const times = processes.get(pid) ?? {};
    processes.set(pid, times);
    const at = Number(seconds) * 1000;
    if (event === "move_begin") times.moveBegin = at;
    else if (event === "move_end") times.moveEnd = at;
    else if (/F_UNLCK/.test(details!)) {
      // Who waits in vain closes the directory too.
      if (times.locked !== undefined) times.unlocked ??= at;
    } else if (/ ret=0$/.test(details!)) {
      times.queued ??= at;
      times.locked = at;
    } else if (/ ret=1$/.test(details!)) times.queued ??= at; // FILE_LOCK_DEFERRED
  }
  return [...processes.values()].filter(isComplete).sort((a, b) => a.locked - b.locked);
}

function isComplete(times: Times): times is Required<Times> {
  return times.locked !== undefined && times.unlocked !== undefined && times.moveEnd !== undefined;
}
