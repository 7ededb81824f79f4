import fc from "fast-check";

/** The number of the host's namespace; process 1 is in it. */
export const HOST_INODE = 1;

/** One thing that happens: a process starts in a namespace, or goes there if it runs already, or ends. */
export interface Change {
  readonly pid: number;
  readonly inode: number | undefined;
  /** After so many reads of procfs since the change before. */
  readonly after: number;
}

export function changesOf(pids: readonly number[], inodes: readonly number[]): fc.Arbitrary<Change[]> {
  const change = fc.record({
    pid: fc.constantFrom(...pids),
    inode: fc.option(fc.constantFrom(...inodes), { nil: undefined }),
    after: fc.nat({ max: 12 }),
  });
  return fc.array(change, { maxLength: 30 });
}

/** A procfs in a temporary directory, whose processes start, end and change their namespace while it is read. */
export class ChangingProc implements Disposable {
  readonly path = Deno.makeTempDirSync();

  constructor() {
    this.#write("self/ns/pid", "pid:[4026531836]");
    this.#write("self/ns/mnt", "mnt:[1]");
    Deno.writeTextFileSync(`${this.path}/self/mountinfo`, "");
    this.put(1, HOST_INODE);
  }

  /** Starts a process in a namespace, or takes it there. */
  put(pid: number, inode: number): void {
    for (const thread of ["ns", `task/${pid}/ns`]) this.#write(`${pid}/${thread}/net`, `net:[${inode}]`);
    this.#write(`${pid}/ns/mnt`, "mnt:[1]");
    Deno.mkdirSync(`${this.path}/${pid}/fd`, { recursive: true });
    Deno.writeTextFileSync(`${this.path}/${pid}/status`, "State:\tS (sleeping)\n");
  }

  end(pid: number): void {
    removeIfThere(`${this.path}/${pid}`);
  }

  apply(change: Change | undefined): void {
    if (!change) return;
    if (change.inode === undefined) this.end(change.pid);
    else this.put(change.pid, change.inode);
  }

  inodeAt(path: string): number | undefined {
    try {
      return Number(/^net:\[(\d+)\]$/.exec(Deno.readLinkSync(path))?.[1]);
    } catch {
      return undefined;
    }
  }

  during<T>(changes: readonly Change[], work: () => T): T {
    const { readDirSync, readLinkSync } = Deno;
    const left = [...changes];
    let reads = 0;
    const afterChanges = <A, R>(read: (path: A) => R) => (path: A): R => {
      for (let next = left[0]; next && reads >= next.after; next = left[0]) {
        left.shift();
        reads = 0;
        this.apply(next);
      }
      reads++;
      return read(path);
    };
    Object.assign(Deno, { readDirSync: afterChanges(readDirSync), readLinkSync: afterChanges(readLinkSync) });
    try {
      return work();
    } finally {
      Object.assign(Deno, { readDirSync, readLinkSync });
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }

  #write(path: string, target: string): void {
    const link = `${this.path}/${path}`;
    Deno.mkdirSync(link.replace(/\/[^/]*$/, ""), { recursive: true });
    removeIfThere(link);
    Deno.symlinkSync(target, link);
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
