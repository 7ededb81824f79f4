/**
 * What a scenario may do to a node and ask of it, on a kernel in memory as on a real one. Network namespaces go by name;
 * the one that scenarios use is "pod". A place is a namespace or "host".
 */
export interface Rig {
  readonly directory: string;
  /** Names of RDMA devices are unique per network namespace, as from Linux 7.3 on; before, on the whole node. */
  readonly hasNamesPerNetns: boolean;

  pf(): NodeFunction;
  /** One of at least seven virtual functions, as it is now. */
  vf(number: number): NodeFunction;
  sf(number: number): NodeFunction;
  listDevices(): Async<PlacedDevice[]>;

  addNetns(name: string): Async<void>;
  holdNetns(name: string): Async<void>;
  /** Removes the path, as "ip netns del" does. A namespace that nothing holds ends a moment later. */
  removePath(name: string): Async<void>;
  /** Removes the path and waits until the kernel has taken the namespace apart. */
  endNetns(name: string): Async<void>;
  /** Removes the path and waits until the devices are taken away. They come to the host soon, or by `finishEnd`. */
  beginEnd(name: string, comes: "soon" | "never"): Async<void>;
  /** Waits until all namespaces without a path have ended, which may take as long as it likes no more. */
  finishEnd(): Async<void>;
  /** Moves the netdev of a function into a namespace. */
  addInterface(of: NodeFunction, netns: string, name: string): Async<void>;
  removeInterface(netns: string, name: string): Async<void>;
  getInterface(netns: string, name: string): Async<unknown>;
  /** Gives a virtual function an InfiniBand port, and with it an IPoIB interface on the host. */
  makeInfiniBand(number: number): Async<NodeFunction>;
  /** Moves a function's IPoIB interface from the host into a namespace, or makes one of a partition there. */
  moveIpoib(
    of: NodeFunction,
    netns: string,
    name: string,
    options?: { isPartition: boolean },
  ): Async<void>;
  setMac(number: number, mac: string): Async<void>;

  moveDevice(name: string, from: string, to: string): Async<void>;
  renameDevice(name: string, place: string, newName: string): Async<void>;
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

  call(call: RigCall): Promise<RigOutcome>;
}

export type Async<T> = T | Promise<T>;

export interface NodeFunction {
  readonly deviceId: string;
  readonly rdmaDevices: readonly string[];
}

export interface PlacedDevice {
  readonly deviceId: string;
  readonly name: string;
  readonly index: number | undefined;
  /** "host", the name of a namespace that has a path, or "away". */
  readonly place: string;
}

export interface RigCall {
  readonly command: string;
  readonly config: object;
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
  readonly log: string;
}
