/** A network namespace that a process of its own holds, until it is disposed of. */
export class TestNetns implements AsyncDisposable {
  readonly #holder: Deno.ChildProcess;
  readonly path: string;
  readonly inode: number;

  private constructor(holder: Deno.ChildProcess, inode: number) {
    this.#holder = holder;
    this.path = `/proc/${holder.pid}/ns/net`;
    this.inode = inode;
  }

  /** Needs the right to make namespaces, which root has. */
  static async create(): Promise<TestNetns> {
    const command = "echo ready; exec sleep infinity";
    const args = ["--net", "sh", "-c", command];
    const holder = new Deno.Command("unshare", { args, stdin: "null", stdout: "piped" }).spawn();
    const reader = holder.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    if (done) throw new Error("Cannot make a network namespace: unshare failed, are you root?");
    return new TestNetns(holder, inodeOf(`/proc/${holder.pid}/ns/net`));
  }

  /** Ends the process; the namespace lives on while it is open somewhere else. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#holder.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it was ended before
    }
    await this.#holder.status;
  }
}

/** The number in a path's link, as in net:[4026531840]. */
export function inodeOf(path: string): number {
  return Number(/\[(\d+)\]/.exec(Deno.readLinkSync(path))![1]);
}
