import { listPortDetails } from "../../src/kernel/port_details.ts";
import { openPorts } from "../../src/kernel/ports.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

libc(); // opened once for the process: a test would be blamed for the leak

const NONE = "0000:0000:0000:0000:0000:0000:0000:0000";
const LINK_LOCAL = "fe80:0000:0000:0000:0000:00ff:fe00:0001";
const IPV4 = "0000:0000:0000:0000:0000:ffff:0a00:0002";
const ROCE = { number: 1, state: "4: ACTIVE", isActive: true, isRoce: true, gids: [], hasMoreGids: false };
const FIRST_GID = { index: 0, gid: LINK_LOCAL, isRoceV2: false };
const COUNTERS = ["port_rcv_data", "port_xmit_data", "port_rcv_packets", "port_xmit_packets"];

/** Below a temporary directory, what sysfs shows of device mlx5_2. */
class TestDevice extends Root {
  constructor(...gids: string[]) {
    super({});
    this.write("node_type", "1: CA");
    this.addPort(1, "4: ACTIVE", gids);
  }

  addPort(number: number, state: string, gids: readonly string[] = []): void {
    const port = `ports/${number}`;
    this.write(`${port}/state`, state);
    this.write(`${port}/link_layer`, "Ethernet");
    for (const [index, gid] of gids.entries()) {
      this.write(`${port}/gids/${index}`, gid);
      const type = index % 2 === 0 ? "IB/RoCE v1" : "RoCE v2";
      if (gid !== NONE) this.write(`${port}/gid_attrs/types/${index}`, type);
    }
  }

  override write(path: string, text: string): void {
    super.write(`/class/infiniband/mlx5_2/${path}`, `${text}\n`);
  }

  remove(path: string): void {
    Deno.removeSync(`${this.path}/class/infiniband/mlx5_2/${path}`, { recursive: true });
  }

  readonly open = () => openPorts(this.path, "mlx5_2")!;
  readonly details = () => listPortDetails(this.path, "mlx5_2", 16);
}

Deno.test("a RoCE port has the entries of its GID table that are in use", () => {
  using device = new TestDevice(LINK_LOCAL, LINK_LOCAL, NONE, IPV4);
  using ports = device.open();
  const first = [FIRST_GID, { index: 1, gid: LINK_LOCAL, isRoceV2: true }];
  const gids = [...first, { index: 3, gid: IPV4, isRoceV2: true }];
  for (const limit of [4, Infinity]) assertEquals(ports.list(limit), [{ ...ROCE, gids }]);
  assertEquals(ports.list(3), [{ ...ROCE, gids: first, hasMoreGids: true }]);
});

Deno.test("each port is told as it is now: down, active, without a state, or gone with its device", () => {
  using device = new TestDevice();
  device.addPort(2, "1: DOWN");
  using ports = device.open();
  assertEquals(ports.list(1), [ROCE, { ...ROCE, number: 2, state: "1: DOWN", isActive: false }]);
  device.write("ports/2/state", "4: ACTIVE");
  device.remove("ports/1/state");
  assertEquals(ports.list(1), [{ ...ROCE, state: "unknown", isActive: false }, { ...ROCE, number: 2 }]);
  device.remove("");
  assertEquals([ports.list(1), device.open()], [[], undefined]);
});

for (
  const [what, path, text] of [
    ["an InfiniBand port", "ports/1/link_layer", "InfiniBand"],
    ["an iWARP port", "node_type", "4: RNIC"],
  ] as const
) {
  Deno.test(`${what} has no GIDs that are addresses`, () => {
    using device = new TestDevice(LINK_LOCAL, LINK_LOCAL);
    device.write(path, text);
    using ports = device.open();
    assertEquals(ports.list(1), [{ ...ROCE, isRoce: false }]);
  });
}

Deno.test("the details of a port have its rate in bits, and data in bytes, but not what cannot be read", () => {
  using device = new TestDevice(LINK_LOCAL);
  device.write("ports/1/rate", "2.5 Gb/sec (1X SDR)");
  for (const [i, value] of [1n, 2n ** 62n, 3n, 4n].entries()) {
    device.write(`ports/1/counters/${COUNTERS[i]}`, `${value}`);
  }
  const traffic = { rxBytes: 4, txBytes: 2 ** 64, rxPackets: 3, txPackets: 4 };
  assertEquals(device.details(), [{ ...ROCE, gids: [FIRST_GID], bitsPerSecond: 2.5e9, traffic }]);
  device.write("ports/1/rate", "unknown");
  for (const name of COUNTERS) device.write(`ports/1/counters/${name}`, "N/A (no PMA)");
  assertEquals(device.details(), [{ ...ROCE, gids: [FIRST_GID] }]);
});

Deno.test("the details of an InfiniBand port have its first GID; those of a device that is not there are none", () => {
  using device = new TestDevice(LINK_LOCAL, IPV4);
  device.write("ports/1/link_layer", "InfiniBand");
  assertEquals(device.details().map(({ gids }) => gids), [[FIRST_GID]]);
  for (const name of ["mlx5_9", "../infiniband/mlx5_2", ""]) {
    assertEquals(listPortDetails(device.path, name, 16), []);
  }
});
