import { judgeVfs } from "../../../../src/cli/doctor/devices.ts";
import { NO_ADMIN_ADDRESS, type VfStatus } from "../../../../src/node/functions.ts";
import { assertEquals } from "../../../support/assert.ts";

function vf(number: number, more: Partial<VfStatus> = {}): VfStatus {
  return {
    pf: "eth0",
    number,
    deviceId: `0000:3b:00.${number + 2}`,
    driver: "mlx5_core",
    isInfiniBand: false,
    adminMac: `02:03:00:00:48:5${number}`,
    hasRandomMac: false,
    hasPermanentMac: true,
    rdmaDevice: `mlx5_${number}`,
    ready: true,
    ...more,
  };
}

const WITHOUT_GUID = { ready: false, reason: "node GUID is zero" };

function lines(...vfs: VfStatus[]): string[] {
  return judgeVfs(vfs, "rdma").map(({ level, text, fix }) => `${level}: ${text}${fix ? ` -> ${fix}` : ""}`);
}

Deno.test("VFs that are ready are counted", () => {
  assertEquals(lines(vf(0), vf(1)), ["ok: 2 of 2 ready for RDMA CM"]);
});

Deno.test("no VFs, and those of virtual machines, are nothing to complain of", () => {
  assertEquals(lines(), ["ok: none for pods"]);
  assertEquals(lines(vf(0, { driver: "vfio-pci", ready: false, reason: "bound to vfio-pci" })), [
    "ok: none for pods",
  ]);
});

Deno.test("VFs that lack the same are one problem of their adapter, fixed by vf-mac init", () => {
  assertEquals(
    lines(vf(0, WITHOUT_GUID), vf(1), vf(3, WITHOUT_GUID), vf(0, { ...WITHOUT_GUID, pf: "eth1" })),
    [
      "ok: 1 of 4 ready for RDMA CM",
      "problem: eth0: VF 0, 3: node GUID is zero, so RDMA CM will not work in pods -> rdma vf-mac init eth0",
      "problem: eth1: VF 0: node GUID is zero, so RDMA CM will not work in pods -> rdma vf-mac init eth1",
    ],
  );
});

Deno.test("a VF that lacks something and that the host uses is a warning with what the host does", () => {
  const usedByHost = 'its netdev "eth3" has an IP address';
  assertEquals(lines(vf(0, { ...WITHOUT_GUID, usedByHost }), vf(1, WITHOUT_GUID), vf(2, { usedByHost })), [
    "ok: 1 of 3 ready for RDMA CM",
    `warning: eth0: VF 0: node GUID is zero, but the host uses it: ${usedByHost} -> ` +
    "rdma vf-mac init eth0 # after you have stopped what uses it, if it is for pods",
    "problem: eth0: VF 1: node GUID is zero, so RDMA CM will not work in pods -> rdma vf-mac init eth0",
  ]);
});

Deno.test("VFs that work until the next rebind are a warning, fixed by vf-mac init", () => {
  assertEquals(lines(vf(0, { ready: false, reason: NO_ADMIN_ADDRESS }), vf(1)), [
    "ok: 1 of 2 ready for RDMA CM",
    `warning: eth0: VF 0: ${NO_ADMIN_ADDRESS} -> rdma vf-mac init eth0`,
  ]);
});

Deno.test("a VF in a pod is judged like any other", () => {
  const { rdmaDevice: _, ...away } = vf(0, { ...WITHOUT_GUID, rdmaNetns: "unknown" });
  assertEquals(lines(away).map((line) => line.split(":")[0]), ["problem"]);
});

Deno.test("VFs in pods that have no administrative address are told apart, since init leaves them alone", () => {
  const vfs = [0, 1, 2, 3, 5].map((number) =>
    vf(number, {
      ready: false,
      reason: NO_ADMIN_ADDRESS,
      ...number === 1 ? { netdevNetns: "/run/netns/pod" } : {},
    })
  );
  assertEquals(lines(...vfs), [
    `warning: eth0: VF 0, 2-3, 5: ${NO_ADMIN_ADDRESS} -> rdma vf-mac init eth0`,
    `warning: eth0: VF 1 (in pods): ${NO_ADMIN_ADDRESS} -> rdma vf-mac init eth0 # after these pods have ended`,
  ]);
});

Deno.test("VFs without driver or RDMA device are warnings", () => {
  const { driver: _driver, ...unbound } = vf(0, { ready: false, reason: "no driver is bound" });
  const { rdmaDevice: _device, ...bare } = vf(2, { ready: false, reason: "no RDMA device" });
  assertEquals(lines(unbound, { ...unbound, number: 1, deviceId: "0000:3b:00.3" }, bare), [
    "warning: eth0: VF 0-1: no driver is bound -> " +
    "for vf in 0000:3b:00.2 0000:3b:00.3; do echo $vf > /sys/bus/pci/drivers_probe; done",
    "warning: eth0: VF 2: no RDMA device -> modprobe mlx5_ib",
  ]);
  assertEquals(lines(unbound), [
    "warning: eth0: VF 0: no driver is bound -> echo 0000:3b:00.2 > /sys/bus/pci/drivers_probe",
  ]);
});
