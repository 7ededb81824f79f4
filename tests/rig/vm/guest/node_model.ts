/** What must be true of a node's pods, RDMA devices and records after each step: the rules, without the plugin. */

/** A container and its network namespace, which lives as long as its path or a process. */
export interface Container {
  readonly id: string;
  /** Name of the namespace's path; a later container may use it again. */
  readonly netns: string;
  /** Its ADDs ask for a name of the device. */
  readonly isNamed: boolean;
  /** The path leads to its namespace. */
  hasPath: boolean;
  /** A process in its namespace; undefined when none is. */
  holder?: { readonly pid: number };
}

/** A function's RDMA device. */
export interface Device {
  readonly deviceId: string;
  /** Where it is; undefined: on the host. */
  where?: Container;
  /** How often its driver was bound anew, each time making another device. */
  generation: number;
}

interface Attachment {
  readonly container: Container;
  readonly device: Device;
  /** The device's generation that was moved. */
  readonly generation: number;
}

/** What a step must lead to. */
export interface Expectation {
  /** The CNI error code; undefined: success. */
  readonly code?: number;
  /** What is true afterwards. */
  apply(): void;
}

export class NodeModel {
  readonly devices: readonly Device[];
  readonly containers: Container[] = [];
  /** By the name of their files. */
  readonly records = new Map<string, Attachment>();

  constructor(deviceIds: readonly string[]) {
    this.devices = deviceIds.map((deviceId) => ({ deviceId, generation: 0 }));
  }

  ifname(device: Device): string {
    return `net${this.devices.indexOf(device)}`;
  }

  /** What a device is called in a container that asks for a name. */
  nameOf(device: Device): string {
    return `roce_${this.ifname(device)}`;
  }

  /** A record says what the device that the driver has made last was called on the host. */
  isRecorded(device: Device): boolean {
    return [...this.records.values()].some((record) =>
      record.device === device && record.generation === device.generation
    );
  }

  fileOf(container: Container, device: Device): string {
    return `net-${container.id}-${this.ifname(device)}`;
  }

  /** Those whose namespaces exist. */
  alive(): Container[] {
    return this.containers.filter(({ hasPath, holder }) => hasPath || holder);
  }

  running(): Container[] {
    return this.containers.filter(({ hasPath }) => hasPath);
  }

  /** What other containers' records tell of a device, in the order of their files. */
  #claims(container: Container, device: Device): [file: string, Attachment][] {
    return [...this.records].filter(([, record]) =>
      record.device === device && record.container !== container
    )
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** kubelet gives a device to a pod only when no other running pod still counts on it. */
  mayAdd(container: Container, device: Device): boolean {
    return this.#claims(container, device).every(([, { container: owner }]) =>
      !owner.hasPath || device.where === owner
    );
  }

  add(container: Container, device: Device): Expectation {
    const claims = this.#claims(container, device);
    const { where } = device;
    if (where && where !== container && where.hasPath) return { code: 111, apply: () => {} };
    // A pod that has ended left its name to the device, whose own it alone knows.
    const isMisnamed = !where &&
      claims.some(([, { container: owner, generation }]) =>
        owner.isNamed && generation === device.generation
      );
    return {
      apply: () => {
        if (isMisnamed || where && where !== container) this.#forget(claims);
        device.where = container;
        const { generation } = device;
        this.records.set(this.fileOf(container, device), { container, device, generation });
      },
    };
  }

  del(container: Container, device: Device): Expectation {
    return { apply: () => this.#end(this.fileOf(container, device)) };
  }

  check(container: Container, device: Device): Expectation {
    const record = this.records.get(this.fileOf(container, device));
    const holds = record?.generation === device.generation && device.where === container;
    return { ...(holds ? {} : { code: 113 }), apply: () => {} };
  }

  /** @param isValid whether GC is told that an attachment is still there */
  gc(isValid: (record: Attachment) => boolean): Expectation {
    const stale = [...this.records].filter(([, record]) => !isValid(record)).map(([file]) => file);
    return { apply: () => stale.forEach((file) => this.#end(file)) };
  }

  /** `rdma-cni gc`: what containers have left whose namespaces are gone. */
  collect(): void {
    const alive = this.alive();
    for (const [file, { container }] of [...this.records]) if (!alive.includes(container)) this.#end(file);
  }

  rebind(device: Device): void {
    device.generation++;
    delete device.where;
  }

  /** The last thing that kept a namespace alive has gone. */
  netnsEnded(container: Container): void {
    for (const device of this.devices) if (device.where === container) delete device.where;
  }

  #end(file: string): void {
    const record = this.records.get(file);
    if (!record) return;
    if (record.device.where === record.container) delete record.device.where;
    this.records.delete(file);
  }

  #forget(claims: readonly [file: string, Attachment][]): void {
    for (const [file] of claims) this.records.delete(file);
  }
}
