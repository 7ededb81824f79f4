import { quietly } from "../../sys/errno.ts";

/** The indexes that RDMA devices were last seen with, by name: the kernel tells the index of a name only by listing all. */
export const INDEX_DIRECTORY = "/run/rdma-cni/indexes";
/** The drivers that made no RDMA device for a function in time, by the function's address. */
export const NO_RDMA_DIRECTORY = "/run/rdma-cni/without-rdma";

/**
 * Short texts by name, one file each, on a file system in memory: they mean nothing after the next boot. What is read
 * here may be out of date, so whoever uses it confirms it; losing it costs time and nothing else.
 */
export class Memo {
  constructor(readonly directory: string) {}

  get(name: string): string | undefined {
    return quietly(() => Deno.readTextFileSync(`${this.directory}/${name}`));
  }

  /** Writes a new file each time: what stands in its place, a link perhaps, is not written to. */
  set(name: string, text: string): void {
    const path = `${this.directory}/${name}`;
    quietly(() => Deno.removeSync(path));
    quietly(() => {
      Deno.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      Deno.writeTextFileSync(path, text, { createNew: true, mode: 0o600 });
    });
  }
}
