import type { VfStatus } from "../../node/functions.ts";

/** In memory, so that it does not outlast the boot. */
export const NO_RDMA_DIRECTORY = "/run/rdma-cni/without-rdma";

/**
 * Virtual functions whose drivers created no RDMA device in time, remembered until the next boot: a file
 * each, named after the PCI address, with the driver's name in it. It only saves the next run that wait, so
 * it may be removed at any time. If it cannot be written, the next run waits again.
 */
export class NoRdmaCache {
  constructor(readonly directory: string = NO_RDMA_DIRECTORY) {}

  has({ deviceId, driver }: VfStatus): boolean {
    return driver !== undefined && ignoreErrors(() => Deno.readTextFileSync(this.#path(deviceId))) === driver;
  }

  /** Creates a new file: what is in its place, possibly a link, is not written to. */
  add({ deviceId, driver = "" }: VfStatus): void {
    const path = this.#path(deviceId);
    ignoreErrors(() => Deno.removeSync(path));
    ignoreErrors(() => {
      Deno.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      Deno.writeTextFileSync(path, driver, { createNew: true, mode: 0o600 });
    });
  }

  #path(deviceId: string): string {
    return `${this.directory}/${deviceId}`;
  }
}

function ignoreErrors<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
