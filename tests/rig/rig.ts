/**
 * What a scenario may do to a node and ask of it, on a kernel in memory as on a real one. Network namespaces go by name;
 * the one that scenarios use is "pod".
 */
export interface Rig {
  /** The directory of records. */
  readonly directory: string;
  /** Names of RDMA devices are unique per network namespace, as from Linux 7.3 on; before, on the whole node. */
  readonly hasNamesPerNetns: boolean;

  pf(): NodeFunction;
  /** One of at least seven virtual functions, as it is now. */
  vf(number: number): NodeFunction;
  /** One of at least two scalable functions. */
  sf(number: number): NodeFunction;
  /** All RDMA devices of all functions, by function and index. */
  listDevices(): Async<PlacedDevice[]>;

  addNetns(name: string): Async<void>;
  /** A process keeps the namespace alive, whatever becomes of its path. */
  holdNetns(name: string): Async<void>;
  /** Removes the path, as "ip netns del" does. A namespace that nothing holds ends a moment later. */
  removePath(name: string): Async<void>;
  /** Removes the path and waits until the kernel has taken the namespace apart. */
  endNetns(name: string): Async<void>;
  /**
   * Removes the path of a namespace that nothing holds, and waits until the kernel has taken its devices away. They come
   * to the host soon, or when `finishEnd` is called.
   */
  beginEnd(name: string, comes: "soon" | "never"): Async<void>;
  /** Waits until all namespaces without a path have ended, which may take as long as it likes no more. */
  finishEnd(): Async<void>;
  /** Moves the netdev of a function into a namespace. */
  addInterface(of: NodeFunction, netns: string, name: string): Async<void>;
  removeInterface(netns: string, name: string): Async<void>;
  /** All that there is to know of an interface; undefined when it is not there. */
  getInterface(netns: string, name: string): Async<unknown>;
  /** Gives a virtual function an InfiniBand port, and with it an IPoIB interface on the host. */
  makeInfiniBand(number: number): Async<NodeFunction>;
  /** Moves a function's IPoIB interface from the host into a namespace, or makes one of a partition there. */
  moveIpoib(of: NodeFunction, netns: string, name: string, options?: { isPartition: boolean }): Async<void>;
  /** Sets the administrative address of a virtual function. */
  setMac(number: number, mac: string): Async<void>;

  /** @param from @param to a namespace, or "host" */
  moveDevice(name: string, from: string, to: string): Async<void>;
  renameDevice(name: string, netns: string, newName: string): Async<void>;
  /** Takes the driver from a virtual function. */
  unbind(of: NodeFunction): Async<void>;
  /** Takes the driver from a virtual function and gives it back, which makes new devices: one unless told. */
  rebind(of: NodeFunction, deviceCount?: number): Async<void>;
  /** Rebinds a virtual function to a driver that cannot take the last of its new devices away from its users. */
  makeImmovable(of: NodeFunction, deviceCount?: number): Async<void>;
  /** Makes an SMI sub-device, from the host unless told; it appears on the host. */
  addSubdevice(name: string, parent: string, netns?: string): Async<void>;
  removeSubdevice(name: string): Async<void>;
  /** A program uses a device: one context. */
  useDevice(name: string): Async<void>;
  /** No namespace may have been added yet. */
  setMode(mode: "exclusive" | "shared"): Async<void>;

  /** Makes a call as a runtime does. */
  call(call: RigCall): Promise<RigOutcome>;
}

export type Async<T> = T | Promise<T>;

export interface NodeFunction {
  readonly deviceId: string;
  /** Names of its devices on the host. */
  readonly rdmaDevices: readonly string[];
}

export interface PlacedDevice {
  readonly deviceId: string;
  readonly name: string;
  /** Undefined for a device that is away. */
  readonly index: number | undefined;
  /** "host", the name of a namespace that has a path, or "away". */
  readonly place: string;
}

export interface RigCall {
  readonly command: string;
  readonly config: object;
  /** Name or path. */
  readonly netns?: string | undefined;
  readonly ifname?: string | undefined;
  readonly containerId?: string | undefined;
  /** More variables, or other values; an undefined one is not set. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Without the capability that moves and renames need. */
  readonly isPowerless?: boolean;
}

export interface RigOutcome {
  readonly code: number;
  /** Standard output, and the JSON that it is unless it is empty. */
  readonly output: string;
  // deno-lint-ignore no-explicit-any -- tests look into results and errors of every kind
  readonly json: any;
  /** Standard error. */
  readonly log: string;
}
