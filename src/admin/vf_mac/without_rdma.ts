import type { VfStatus } from "./list.ts";

/** On a file system in memory, so that it ends with the boot. */
export const WITHOUT_RDMA_FOLDER = "/run/rdma-cni/without-rdma";

/**
 * Virtual functions whose drivers were waited for in vain to make an RDMA device, until the next boot: a file each,
 * named after the PCI address, with the driver's name in it. It only spares the next run that wait, so it may be
 * removed at any time; and if it cannot be written, the next run waits too.
 */
export class WithoutRdma {
  constructor(readonly folder: string = WITHOUT_RDMA_FOLDER) {}

  has({ deviceId, driver }: VfStatus): boolean {
    return driver !== undefined && quietly(() => Deno.readTextFileSync(this.#path(deviceId))) === driver;
  }

  /** Writes a new file each time: what stands in its place, a link perhaps, is not written to. */
  add({ deviceId, driver = "" }: VfStatus): void {
    const path = this.#path(deviceId);
    quietly(() => Deno.removeSync(path));
    quietly(() => {
      Deno.mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      Deno.writeTextFileSync(path, driver, { createNew: true, mode: 0o600 });
    });
  }

  #path(deviceId: string): string {
    return `${this.folder}/${deviceId}`;
  }
}

function quietly<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
