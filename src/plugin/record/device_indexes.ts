import { quietly } from "../../sys/errno.ts";

/** On a file system in memory: indexes mean nothing after the next boot. */
export const INDEX_DIRECTORY = "/run/rdma-cni";

/**
 * Indexes that RDMA devices were last seen with, by name, one file each. The kernel is asked by index, and only listing
 * all devices tells the index of a name. What is read here may be out of date, so whoever uses it lets the kernel
 * confirm it; losing it costs time and nothing else.
 */
export class DeviceIndexes {
  constructor(readonly directory: string) {}

  get(name: string): number | undefined {
    const text = quietly(() => Deno.readTextFileSync(`${this.directory}/${name}`));
    return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
  }

  /** Writes a new file each time: what stands in its place, a link perhaps, is not written to. */
  set(name: string, index: number): void {
    const path = `${this.directory}/${name}`;
    quietly(() => Deno.removeSync(path));
    quietly(() => {
      Deno.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      Deno.writeTextFileSync(path, String(index), { createNew: true, mode: 0o600 });
    });
  }
}
