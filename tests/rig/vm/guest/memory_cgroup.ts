import { shOk } from "./sh.ts";

const ROOT = "/sys/fs/cgroup";

/** A memory cgroup for a while. */
export class MemoryCgroup implements AsyncDisposable {
  readonly #path = `${ROOT}/plugins`;

  /**
   * @param limitMiB none unless told
   * @param milliCpu thousandths of a processor; no limit unless told
   * @param periodMs in which it may run for so many thousandths
   */
  static async create(limitMiB?: number, milliCpu?: number, periodMs = 100): Promise<MemoryCgroup> {
    const cgroup = new MemoryCgroup();
    const limit = limitMiB === undefined ? "max" : `${limitMiB}M`;
    await shOk(
      `echo +memory +cpu >${ROOT}/cgroup.subtree_control && mkdir ${cgroup.#path} &&
       echo ${limit} >${cgroup.#path}/memory.max &&
       echo ${milliCpu === undefined ? "max" : Math.round(milliCpu * periodMs)} ${
        Math.round(periodMs * 1000)
      } >${cgroup.#path}/cpu.max`,
    );
    return cgroup;
  }

  /** Starts a program in it, to which the words after these belong. */
  wrapper(): string[] {
    return ["sh", "-c", `echo $$ >${this.#path}/cgroup.procs && exec "$0" "$@"`];
  }

  /** The most that was charged to it so far. */
  peakKb(): number {
    return Number(Deno.readTextFileSync(`${this.#path}/memory.peak`)) / 1024;
  }

  /** The CPU time of what ran in it so far. */
  cpuSeconds(): number {
    const [, us] = /^usage_usec (\d+)$/m.exec(Deno.readTextFileSync(`${this.#path}/cpu.stat`))!;
    return Math.round(Number(us) / 1e6);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await shOk(`rmdir ${this.#path}`);
  }
}
