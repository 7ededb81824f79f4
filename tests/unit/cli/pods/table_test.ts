import { listRows, POD_TABLE } from "../../../../src/cli/pods/table.ts";
import { formatTable } from "../../../../src/cli/table.ts";
import type { PodDevice, PodPort } from "../../../../src/node/pods.ts";
import { assertEquals } from "../../../support/assert.ts";
import { assertMakes } from "../../../support/table.ts";
import { TestTerminal } from "../../../support/terminal.ts";

const PORT: PodPort = { number: 1, state: "4: ACTIVE", counters: {} };

const device = (more: Partial<PodDevice> = {}): PodDevice => ({
  ...{ record: "net-container1-net1", deviceId: "0000:3b:00.2", device: "mlx5_0", hostDevice: "mlx5_2" },
  ...{ status: "present", createdAt: Date.now(), resources: {}, ports: [PORT] },
  ...more,
});

/** The cells of a table, which are two blanks apart. */
function cells(devices: readonly PodDevice[], isWide = false): string[][] {
  const terminal = new TestTerminal();
  terminal.print({ text: formatTable(POD_TABLE, listRows(devices), isWide) });
  return terminal.stdout.trimEnd().split("\n").map((line) => line.trim().split(/ {2,}/));
}

Deno.test("pods: a table has a line for each port, with dashes for what is not known", () => {
  const full = device({
    ...{ namespace: "team-a", pod: "trainer-0", interface: "net1", network: "roce" },
    containerId: "5d1f0c3b9a7e4c55aa",
    createdAt: Date.now() - 3 * 86_400_000 - 1000,
    resources: { qp: 3, cq: 4, mr: 0 },
    ports: [{
      ...PORT,
      bitsPerSecond: 2.5e9,
      gid: { index: 3, gid: "0000:0000:0000:0000:0000:ffff:0a00:0102" },
      traffic: { rxBytes: 400, txBytes: 800, rxPackets: 1, txPackets: 2 },
      counters: { rx_write_requests: 9, out_of_sequence: 7, packet_seq_err: 0, roce_adp_retrans: 1 },
    }, {
      ...{ ...PORT, number: 2, state: "1: DOWN" },
      gid: { index: 0, gid: "fe80:0000:0000:0000:0203:00ff:fe00:4852" },
    }],
  });
  const devices = [full, device({ status: "stale", ports: [] })];
  const known = ["team-a/trainer-0", "net1"];
  const narrow = [
    ["POD", "INTERFACE", "DEVICE", "STATE", "RATE", "INDEX", "GID", "AGE"],
    [...known, "mlx5_0/1", "ACTIVE", "2.5G", "3", "::ffff:10.0.1.2", "3d"],
    [...known, "mlx5_0/2", "DOWN", "-", "0", "fe80:0:0:0:203:ff:fe00:4852", "3d"],
    ["-", "-", "mlx5_0", "stale", "-", "-", "-", "0s"],
  ];
  assertEquals(cells(devices), narrow);
  const owner = ["5d1f0c3b9a7e", "roce", "0000:3b:00.2", "mlx5_2"];
  const unknown = Array(4).fill("-");
  const counts = "RX-BYTES TX-BYTES RX-PACKETS TX-PACKETS QP CQ MR PD ERRORS".split(" ");
  const more = [
    ["CONTAINER", "NETWORK", "PCI-ADDRESS", "ON-HOST", ...counts],
    [...owner, "400", "800", "1", "2", "3", "4", "0", "-", "out_of_sequence=7 roce_adp_retrans=1"],
    [...owner, ...unknown, "3", "4", "0", "-", "none"],
    ["-", "-", ...owner.slice(2), ...unknown, ...unknown, "-"],
  ];
  assertEquals(cells(devices, true), narrow.map((cells, line) => [...cells, ...more[line]!]));
});

Deno.test("pods: an age is in its largest unit", () => {
  const ageOf = (seconds: number) =>
    cells([device({ createdAt: Date.now() - seconds * 1000 - 100 })])[1]!.at(-1);
  assertMakes(ageOf, [[59, "59s"], [60, "1m"], [3599, "59m"], [7200, "2h"], [-5, "0s"]]);
});
