import { listPortDetails } from "../../src/kernel/port_details.ts";
import { openPorts } from "../../src/kernel/ports.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

libc(); // opened once for the process: a test would be blamed for the leak

const NONE = "0000:0000:0000:0000:0000:0000:0000:0000";
const LINK_LOCAL = "fe80:0000:0000:0000:0000:00ff:fe00:0001";
const IPV4 = "0000:0000:0000:0000:0000:ffff:0a00:0002";

/** Below a temporary directory, what sysfs shows of device mlx5_2. */
class TestDevice extends Root {
  readonly directory = `${this.path}/class/infiniband/mlx5_2`;

  constructor(nodeType = "1: CA") {
    super({});
    this.write("node_type", nodeType);
  }

  addPort(number: number, state: string, linkLayer: string, gids: readonly string[]): this {
    const port = `ports/${number}`;
    this.write(`${port}/state`, state);
    this.write(`${port}/link_layer`, linkLayer);
    for (const [index, gid] of gids.entries()) {
      this.write(`${port}/gids/${index}`, gid);
      const type = index % 2 === 0 ? "IB/RoCE v1" : "RoCE v2";
      if (gid !== NONE) this.write(`${port}/gid_attrs/types/${index}`, type);
    }
    return this;
  }

  /** @param path below the device's directory */
  override write(path: string, text: string): void {
    super.write(`/class/infiniband/mlx5_2/${path}`, `${text}\n`);
  }
}

const ROCE = { number: 1, state: "4: ACTIVE", isActive: true, isRoce: true, gids: [], hasMoreGids: false };

Deno.test("a RoCE port has the entries of its GID table that are in use", () => {
  using device = new TestDevice().addPort(1, "4: ACTIVE", "Ethernet", [LINK_LOCAL, LINK_LOCAL, NONE, IPV4]);
  using ports = openPorts(device.path, "mlx5_2")!;
  const gids = [
    { index: 0, gid: LINK_LOCAL, isRoceV2: false },
    { index: 1, gid: LINK_LOCAL, isRoceV2: true },
    { index: 3, gid: IPV4, isRoceV2: true },
  ];
  for (const limit of [4, Infinity]) assertEquals(ports.list(limit), [{ ...ROCE, gids }]);
  assertEquals(ports.list(3), [{ ...ROCE, gids: gids.slice(0, 2), hasMoreGids: true }]);
});

Deno.test("the state of each port is told as it is now", () => {
  using device = new TestDevice().addPort(1, "1: DOWN", "Ethernet", []);
  device.addPort(2, "4: ACTIVE", "Ethernet", []);
  using ports = openPorts(device.path, "mlx5_2")!;
  assertEquals(ports.list(1).map(({ number, isActive }) => [number, isActive]), [[1, false], [2, true]]);
  device.write("ports/1/state", "4: ACTIVE");
  assertEquals(ports.list(1)[0], ROCE);
});

for (
  const [what, nodeType, linkLayer] of [
    ["an InfiniBand port", "1: CA", "InfiniBand"],
    ["an iWARP port", "4: RNIC", "Ethernet"],
  ] as const
) {
  Deno.test(`${what} has no GIDs that are addresses`, () => {
    using device = new TestDevice(nodeType).addPort(1, "4: ACTIVE", linkLayer, [LINK_LOCAL, LINK_LOCAL]);
    using ports = openPorts(device.path, "mlx5_2")!;
    assertEquals(ports.list(1), [{ ...ROCE, isRoce: false }]);
  });
}

Deno.test("a port without a state is not active", () => {
  using device = new TestDevice().addPort(1, "4: ACTIVE", "Ethernet", []);
  using ports = openPorts(device.path, "mlx5_2")!;
  Deno.removeSync(`${device.directory}/ports/1/state`);
  assertEquals(ports.list(1), [{ ...ROCE, state: "unknown", isActive: false }]);
});

Deno.test("a device that has gone has no ports, one that was not there cannot be opened", () => {
  using device = new TestDevice().addPort(1, "4: ACTIVE", "Ethernet", []);
  using ports = openPorts(device.path, "mlx5_2")!;
  assertEquals(ports.list(1).length, 1);
  Deno.removeSync(device.directory, { recursive: true });
  assertEquals(ports.list(1), []);
  assertEquals(openPorts(device.path, "mlx5_2"), undefined);
});

Deno.test("the details of a port have its rate in bits, and data in bytes", () => {
  using device = new TestDevice().addPort(1, "4: ACTIVE", "Ethernet", [LINK_LOCAL]);
  device.write("ports/1/rate", "2.5 Gb/sec (1X SDR)");
  const counters = { port_rcv_data: 1, port_xmit_data: 2 ** 62, port_rcv_packets: 3, port_xmit_packets: 4 };
  for (const [name, value] of Object.entries(counters)) {
    device.write(`ports/1/counters/${name}`, BigInt(value).toString());
  }
  const gids = [{ index: 0, gid: LINK_LOCAL, isRoceV2: false }];
  const traffic = { rxBytes: 4, txBytes: 2 ** 64, rxPackets: 3, txPackets: 4 };
  const details = [{ ...ROCE, gids, bitsPerSecond: 2.5e9, traffic }];
  assertEquals(listPortDetails(device.path, "mlx5_2", 16), details);
});

Deno.test("the details of a port lack what the driver does not count, and a rate that cannot be read", () => {
  using device = new TestDevice().addPort(1, "4: ACTIVE", "Ethernet", []);
  device.write("ports/1/rate", "unknown");
  for (const name of ["port_rcv_data", "port_xmit_data", "port_rcv_packets", "port_xmit_packets"]) {
    device.write(`ports/1/counters/${name}`, "N/A (no PMA)");
  }
  assertEquals(listPortDetails(device.path, "mlx5_2", 16), [ROCE]);
});

Deno.test("the details of an InfiniBand port have its first GID", () => {
  using device = new TestDevice().addPort(1, "4: ACTIVE", "InfiniBand", [LINK_LOCAL, IPV4]);
  const [port] = listPortDetails(device.path, "mlx5_2", 16);
  assertEquals(port!.gids, [{ index: 0, gid: LINK_LOCAL, isRoceV2: false }]);
});

Deno.test("the details of a device that is not there are none", () => {
  using device = new TestDevice();
  device.addPort(1, "4: ACTIVE", "Ethernet", []);
  for (const name of ["mlx5_9", "../infiniband/mlx5_2", ""]) {
    assertEquals(listPortDetails(device.path, name, 16), []);
  }
});
