import { NO_ADMIN_ADDRESS, type VfStatus } from "../../../../src/node/functions.ts";
import { deriveMac, NO_MAC } from "../../../../src/node/addresses.ts";
import { formatAddress } from "../../../../src/cli/vf_mac/assign.ts";
import {
  type Assignment,
  chooseMac,
  findNeed,
  planAddresses,
  type PlanOptions,
} from "../../../../src/cli/vf_mac/plan.ts";
import type { PhysicalFunction } from "../../../../src/kernel/node_kernel.ts";
import { assertEquals } from "../../../support/assert.ts";

const PF: PhysicalFunction = {
  name: "eth0",
  index: 2,
  deviceId: "0000:3b:00.0",
  isInfiniBand: false,
  isEnabled: true,
  isUp: true,
  address: "b8:59:9f:00:00:01",
  permanentAddress: "b8:59:9f:00:00:01",
  vfs: [],
};
const ADMIN = "02:03:00:00:48:50";
const RANDOM = "8e:11:22:33:44:55";

function vf(more: Partial<VfStatus> = {}): VfStatus {
  return {
    pf: "eth0",
    number: 0,
    deviceId: "0000:3b:00.2",
    driver: "mlx5_core",
    isInfiniBand: false,
    adminMac: NO_MAC,
    hasRandomMac: false,
    hasPermanentMac: false,
    ready: false,
    reason: "node GUID is zero",
    ...more,
  };
}

function only(...names: string[]): PlanOptions {
  return { names, rdmaPfs: names, forced: [] };
}

/** Returns the planned address, or what prevents it. */
function wordsOf({ address, failure }: Assignment): string {
  return failure?.message.replace(/^Cannot give VF .* an address: /, "") ?? formatAddress(address);
}

for (
  const { name, status, mac } of [
    { name: "the administrative one", status: { adminMac: ADMIN }, mac: ADMIN },
    {
      name: "the administrative one, although its driver has not taken it yet",
      status: { adminMac: ADMIN, effectiveMac: RANDOM, hasRandomMac: true },
      mac: ADMIN,
    },
    {
      name: "its own permanent one",
      status: { effectiveMac: ADMIN, hasPermanentMac: true },
      mac: ADMIN,
    },
    {
      name: "a derived one instead of a random one",
      status: { effectiveMac: RANDOM, hasRandomMac: true },
      mac: deriveMac("b8:59:9f:00:00:01", 0),
    },
    {
      name: "a derived one instead of a random one that the kernel tells as administrative",
      status: { adminMac: RANDOM, effectiveMac: RANDOM, hasRandomMac: true },
      mac: deriveMac("b8:59:9f:00:00:01", 0),
    },
    {
      name: "a derived one instead of one that somebody set on the netdev",
      status: { effectiveMac: RANDOM },
      mac: deriveMac("b8:59:9f:00:00:01", 0),
    },
    {
      name: "the one that its node GUID is of, which it was given before",
      status: { effectiveMac: ADMIN, reason: NO_ADMIN_ADDRESS },
      mac: ADMIN,
    },
    { name: "a derived one without a driver", status: {}, mac: deriveMac("b8:59:9f:00:00:01", 0) },
    {
      name: "a derived one instead of a permanent one of zeros",
      status: { effectiveMac: NO_MAC, hasPermanentMac: true },
      mac: deriveMac("b8:59:9f:00:00:01", 0),
    },
  ]
) {
  Deno.test(`a virtual function gets ${name}`, () => assertEquals(chooseMac(PF, vf(status)), mac));
}

Deno.test("what is ready, for virtual machines or without RDMA device needs nothing", () => {
  const { reason: _, ...ready } = vf({ ready: true });
  assertEquals(findNeed(ready, true), undefined);
  assertEquals(findNeed(vf({ driver: "vfio-pci" }), true), undefined);
  assertEquals(findNeed(vf({ driver: "mlx5_vfio_pci" }), true), undefined);
  assertEquals(findNeed(vf({ reason: "no RDMA device" }), true), undefined);
  assertEquals(findNeed(vf({ reason: NO_ADMIN_ADDRESS }), true), NO_ADMIN_ADDRESS);
  assertEquals(findNeed(vf({ reason: NO_ADMIN_ADDRESS, netdevNetns: "/run/netns/pod" }), true), undefined);
  assertEquals(findNeed(vf(), false), "node GUID is zero");
});

Deno.test("what has no driver needs one if functions of its kind do RDMA, else nothing", () => {
  const { driver: _, ...unbound } = vf({ reason: "no driver is bound" });
  assertEquals([true, false].map((isRdmaPf) => findNeed(unbound, isRdmaPf)), [
    "no driver is bound",
    undefined,
  ]);
});

Deno.test("what the host uses is not in the plan unless forced", () => {
  const vfs = [vf({ usedByHost: "its netdev is up" }), vf({ number: 1, deviceId: "0000:3b:00.3" })];
  const numbers = (forced: string[]) =>
    planAddresses([PF], vfs, { names: ["eth0"], rdmaPfs: [], forced }).map(({ vf }) => vf.number);
  assertEquals([numbers([]), numbers([vfs[0]!.deviceId])], [[1], [0, 1]]);
});

Deno.test("the plan has a step for each function in need, of the chosen physical functions", () => {
  const other = { ...PF, name: "eth1", permanentAddress: "b8:59:9f:00:00:02" };
  const vfs = [
    vf(),
    vf({ number: 1, deviceId: "0000:3b:00.3", reason: "no RDMA device" }),
    vf({ number: 2, deviceId: "0000:3b:00.4" }),
    vf({ pf: "eth1", deviceId: "0000:3b:01.2" }),
  ];
  const steps = planAddresses([PF, other], vfs, only("eth0"));
  assertEquals(steps.map((one) => [one.vf.number, wordsOf(one)]), [
    [0, deriveMac("b8:59:9f:00:00:01", 0)],
    [2, deriveMac("b8:59:9f:00:00:01", 2)],
  ]);
});

Deno.test("an address that another function has, or is planned to have, is an obstacle", () => {
  const derived = deriveMac("b8:59:9f:00:00:01", 0);
  const twin = { ...PF, name: "eth1" };
  const plan = (pfs: PhysicalFunction[], ...vfs: VfStatus[]) =>
    planAddresses(pfs, vfs, only("eth0", "eth1")).map(wordsOf);
  assertEquals(plan([PF], vf(), vf({ number: 1, deviceId: "0000:3b:00.3", adminMac: derived })), [
    `VF 1 of eth0 has ${derived}`,
    derived,
  ]);
  assertEquals(plan([PF, twin], vf(), vf({ pf: "eth1", deviceId: "0000:3b:01.2" })), [
    derived,
    `VF 0 of eth0 has ${derived}`,
  ]);
  assertEquals(plan([{ ...PF, address: derived }], vf()), [`PF eth0 has ${derived}`]);
});

Deno.test("without a permanent address nothing can be derived", () => {
  const { permanentAddress: _, ...old } = PF;
  assertEquals(planAddresses([old], [vf()], only("eth0")).map(wordsOf), [
    "the kernel knows no permanent address of eth0",
  ]);
  assertEquals(planAddresses([old], [vf({ adminMac: ADMIN })], only("eth0")).map(wordsOf), [ADMIN]);
});
