import { shOk } from "./sh.ts";

const ROOT = "/sys/fs/cgroup";

export class MemoryCgroup implements AsyncDisposable {
  readonly #path = `${ROOT}/plugins`;

  /** No limits unless told. @param milliCpu thousandths of the processor in each period */
  static async create(limitMiB?: number, milliCpu?: number, periodMs = 100): Promise<MemoryCgroup> {
    const cgroup = new MemoryCgroup();
    const memory = limitMiB === undefined ? "max" : `${limitMiB}M`;
    const cpuUs = milliCpu === undefined ? "max" : Math.round(milliCpu * periodMs);
    await shOk(
      `echo +memory +cpu >${ROOT}/cgroup.subtree_control && mkdir ${cgroup.#path} && cd ${cgroup.#path} &&
       echo ${memory} >memory.max && echo ${cpuUs} ${Math.round(periodMs * 1000)} >cpu.max`,
    );
    return cgroup;
  }

  /** Starts a program in it, to which the words after these belong. */
  readonly wrapper = () => ["sh", "-c", `echo $$ >${this.#path}/cgroup.procs && exec "$0" "$@"`];
  readonly peakKb = () => Number(Deno.readTextFileSync(`${this.#path}/memory.peak`)) / 1024;

  cpuSeconds(): number {
    const [, us] = /^usage_usec (\d+)$/m.exec(Deno.readTextFileSync(`${this.#path}/cpu.stat`))!;
    return Math.round(Number(us) / 1e6);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await shOk(`rmdir ${this.#path}`);
  }
}
