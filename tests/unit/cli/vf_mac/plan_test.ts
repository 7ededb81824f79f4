import { formatAddress } from "../../../../src/cli/vf_mac/assign.ts";
import { chooseMac, findNeed, planAddresses, type PlanOptions } from "../../../../src/cli/vf_mac/plan.ts";
import type { PhysicalFunction } from "../../../../src/kernel/node_kernel.ts";
import { deriveMac, NO_MAC } from "../../../../src/node/addresses.ts";
import { NO_ADMIN_ADDRESS, type VfStatus } from "../../../../src/node/functions.ts";
import { assertEquals } from "../../../support/assert.ts";
import { assertMakes } from "../../../support/table.ts";

const PF_MAC = "b8:59:9f:00:00:01";
const PF: PhysicalFunction = {
  ...{ name: "eth0", index: 2, deviceId: "0000:3b:00.0", address: PF_MAC, permanentAddress: PF_MAC, vfs: [] },
  ...{ isInfiniBand: false, isEnabled: true, isUp: true },
};
const ADMIN = "02:03:00:00:48:50";
const RANDOM = "8e:11:22:33:44:55";
const DERIVED = deriveMac(PF_MAC, 0);

function vf(more: Partial<VfStatus> = {}): VfStatus {
  const number = more.number ?? 0;
  return {
    ...{ pf: "eth0", number, deviceId: `0000:3b:00.${2 + number}`, driver: "mlx5_core", adminMac: NO_MAC },
    ...{ isInfiniBand: false, hasRandomMac: false, hasPermanentMac: false },
    ...{ ready: false, reason: "node GUID is zero" },
    ...more,
  };
}

/** The planned addresses by the numbers of their functions, or what prevents them. */
function plan(pfs: PhysicalFunction[], vfs: VfStatus[], more: Partial<PlanOptions> = {}): [number, string][] {
  const names = pfs.map(({ name }) => name);
  const steps = planAddresses(pfs, vfs, { names, rdmaPfs: names, forced: [], ...more });
  return steps.map(({ vf, address, failure }) => [
    vf.number,
    failure?.message.replace(/^Cannot give VF .* an address: /, "") ?? formatAddress(address),
  ]);
}

Deno.test("a function keeps an address that is its own, and gets a derived one in the place of others", () => {
  assertMakes<Partial<VfStatus>, string | undefined>((status) => chooseMac(PF, vf(status)), [
    [{ adminMac: ADMIN }, ADMIN],
    // Its driver has not taken it yet.
    [{ adminMac: ADMIN, effectiveMac: RANDOM, hasRandomMac: true }, ADMIN],
    [{ effectiveMac: ADMIN, hasPermanentMac: true }, ADMIN],
    // Its node GUID is of this one, which it was given before.
    [{ effectiveMac: ADMIN, reason: NO_ADMIN_ADDRESS }, ADMIN],
    [{ effectiveMac: RANDOM, hasRandomMac: true }, DERIVED],
    // The kernel tells a random one as administrative.
    [{ adminMac: RANDOM, effectiveMac: RANDOM, hasRandomMac: true }, DERIVED],
    [{ effectiveMac: RANDOM }, DERIVED],
    [{}, DERIVED],
    [{ effectiveMac: NO_MAC, hasPermanentMac: true }, DERIVED],
  ]);
});

Deno.test("what is ready, for virtual machines or without RDMA device needs nothing", () => {
  const { reason: _, ...ready } = vf({ ready: true });
  const { driver: __, ...unbound } = vf({ reason: "no driver is bound" });
  assertMakes<VfStatus, string | undefined>((status) => findNeed(status, true), [
    [ready, undefined],
    [vf({ driver: "vfio-pci" }), undefined],
    [vf({ driver: "mlx5_vfio_pci" }), undefined],
    [vf({ reason: "no RDMA device" }), undefined],
    [vf({ reason: NO_ADMIN_ADDRESS }), NO_ADMIN_ADDRESS],
    [vf({ reason: NO_ADMIN_ADDRESS, netdevNetns: "/run/netns/pod" }), undefined],
    [unbound, "no driver is bound"],
  ]);
  assertEquals([vf(), unbound].map((status) => findNeed(status, false)), ["node GUID is zero", undefined]);
});

Deno.test("what the host uses is not in the plan unless forced", () => {
  const vfs = [vf({ usedByHost: "its netdev is up" }), vf({ number: 1 })];
  const numbers = (forced: string[]) => plan([PF], vfs, { forced }).map(([number]) => number);
  assertEquals([numbers([]), numbers([vfs[0]!.deviceId])], [[1], [0, 1]]);
});

Deno.test("the plan has a step for each function in need, of the chosen physical functions", () => {
  const other = { ...PF, name: "eth1", permanentAddress: "b8:59:9f:00:00:02" };
  const vfs = [vf(), vf({ number: 1, reason: "no RDMA device" }), vf({ number: 2 }), vf({ pf: "eth1" })];
  assertEquals(plan([PF, other], vfs, { names: ["eth0"] }), [[0, DERIVED], [2, deriveMac(PF_MAC, 2)]]);
});

Deno.test("an address that another function has, or is planned to have, is an obstacle", () => {
  assertEquals(plan([PF], [vf(), vf({ number: 1, adminMac: DERIVED })]), [
    [0, `VF 1 of eth0 has ${DERIVED}`],
    [1, DERIVED],
  ]);
  assertEquals(plan([PF, { ...PF, name: "eth1" }], [vf(), vf({ pf: "eth1", deviceId: "0000:3b:01.2" })]), [
    [0, DERIVED],
    [0, `VF 0 of eth0 has ${DERIVED}`],
  ]);
  assertEquals(plan([{ ...PF, address: DERIVED }], [vf()]), [[0, `PF eth0 has ${DERIVED}`]]);
});

Deno.test("without a permanent address nothing can be derived", () => {
  const { permanentAddress: _, ...old } = PF;
  assertEquals(plan([old], [vf(), vf({ number: 1, adminMac: ADMIN })]), [
    [0, "the kernel knows no permanent address of eth0"],
    [1, ADMIN],
  ]);
});
