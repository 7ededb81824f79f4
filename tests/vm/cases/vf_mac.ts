// What people type about the addresses of virtual functions.
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  addPod,
  assertCode,
  netdevToNetns,
  rdmaDevices,
  rdmaToNetns,
  rebind,
  setSimParameter,
  sh,
  shOk,
  simParameter,
  unbind,
  until,
  vf,
  vfs,
} from "../../rig/vm/guest/harness.ts";
import {
  adminMac,
  assertRefused,
  assertUnchanged,
  HOST_MACS,
  indexes,
  list,
  makeRandom,
  NEW_GUID,
  NEW_MAC,
  NO_MAC,
  nodeGuid,
  operState,
  setAdminMac,
  vfMacCase,
} from "../../rig/vm/guest/vf_addresses.ts";

vfMacCase("list tells what the kernel tells, in a table and as JSON", async (netdev) => {
  const { stdout, code } = await rdmaCni(`vf-mac list ${netdev}`);
  assertEquals(code, 0);
  const lines = stdout.trimEnd().split("\n");
  assertMatch(lines[0]!, /^PF +VF +PCI-ADDRESS +NETDEV +ADDRESS +RDMA +READY$/);
  assertEquals(lines.length, 8);
  const listed = await list();
  for (const [number, { deviceId, netdev: name, mac, rdmaDevices: [rdmaDevice] }] of vfs().entries()) {
    const guid = await nodeGuid(number);
    const words = [netdev, `${number}`, deviceId, name, mac, rdmaDevice, "yes"];
    assertEquals(lines[number + 1]!.split(/ {2,}/).join(" "), words.join(" "));
    assertEquals<unknown>(listed[number], {
      pf: netdev,
      number,
      deviceID: deviceId,
      driver: "igbvf",
      isInfiniBand: false,
      adminMac: mac,
      netdev: name,
      effectiveMac: mac,
      hasRandomMac: false,
      hasPermanentMac: true,
      rdmaDevice,
      nodeGuid: guid,
      ready: true,
    });
  }
}, { sets: ["surroundings", "newest", "oldest"] });

vfMacCase("list tells why a function is not ready, and where its devices are", async (netdev) => {
  await addNetns("pod");
  await netdevToNetns(vf(0).netdev, "pod", "net1");
  await rdmaToNetns(vf(1).rdmaDevice, "pod");
  await makeRandom(2);
  await setAdminMac(3, NEW_MAC);
  unbind(vf(4).deviceId);
  setSimParameter("no_rdma", true);
  rebind(vf(5).deviceId);
  const listed = await list();
  assertEquals(listed.map(({ ready, reason }) => ready || reason), [
    true,
    true,
    "node GUID is zero",
    true,
    "no driver is bound",
    "no RDMA device",
    true,
  ]);
  assertEquals([listed[0]!["netdev"], listed[0]!["netdevNetns"]], ["net1", "/run/netns/pod"]);
  assertEquals([listed[1]!["rdmaNetns"], listed[1]!.nodeGuid], ["/run/netns/pod", "0203:00ff:fe00:4851"]);
  const { stdout } = await rdmaCni(`vf-mac list ${netdev}`);
  assertMatch(stdout, / net1 in \/run\/netns\/pod .* mlx5_\d+ in \/run\/netns\/pod /s);
  assertMatch(stdout, / no: node GUID is zero$/m);
}, { needs: "linkParent" });

vfMacCase("set gives a function its address and, right afterwards, the node GUID", async (netdev) => {
  const before = await indexes();
  const { code, stdout, stderr } = await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC.toUpperCase()}`);
  assertEquals([code, stdout], [0, ""], stderr);
  assertMatch(
    stderr,
    new RegExp(`^VF 3 of ${netdev} \\(.*\\) has MAC address ${NEW_MAC}, node GUID ${NEW_GUID}\n$`),
  );
  assertEquals([await adminMac(3), vf(3).mac, await nodeGuid(3)], [NEW_MAC, NEW_MAC, NEW_GUID]);
  assertNotEquals(await indexes(), before);
  await assertUnchanged(async () => {
    const second = await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC}`);
    assertEquals(second.code, 0);
    assertMatch(second.stderr, /already/);
  });
}, { sets: ["surroundings", "newest", "oldest"] });

vfMacCase("init fixes each function that needs it, and a second run changes nothing", async (netdev) => {
  await setAdminMac(0, NO_MAC); // its node GUID is good until the next rebind
  await makeRandom(1);
  await makeRandom(2);
  await setAdminMac(3, NEW_MAC); // its node GUID is of the former address, and not zero
  unbind(vf(4).deviceId);
  const untouched = [0, 3, 5, 6].map((number) => vf(number).rdmaDevice);
  const { code, stdout, stderr } = await rdmaCni(`vf-mac init ${netdev}`);
  assertEquals([code, stdout], [0, ""], stderr);
  assert(!stderr.includes("\x1b"), stderr);
  assertMatch(stderr, /ready 3, assigned 4, failed 0\n$/);
  const listed = await list();
  assertEquals(listed.filter(({ ready }) => !ready), []);
  const macs = listed.map(({ adminMac }) => adminMac);
  assertEquals([macs[0], ...macs.slice(3)], [HOST_MACS[0], NEW_MAC, ...HOST_MACS.slice(4)]);
  const permanent = JSON.parse(await shOk(`ip -j link show ${netdev}`))[0].address.slice(9);
  assertMatch(macs[1]!, new RegExp(`^.[26ae]:..:01:${permanent}$`));
  assertMatch(macs[2]!, new RegExp(`^.[26ae]:..:02:${permanent}$`));
  const effective = [HOST_MACS[0], macs[1], macs[2], ...HOST_MACS.slice(3)];
  assertEquals(listed.map(({ effectiveMac }) => effectiveMac), effective);
  assertEquals([0, 3, 5, 6].map((number) => vf(number).rdmaDevice), untouched);
  await assertUnchanged(async () => {
    const second = await assertCode(0, rdmaCni("vf-mac init --all"));
    assertMatch(second.stderr, /^ready 7, assigned 0, failed 0\n$/);
  });

  // What it derives is the same at the next boot.
  await makeRandom(1);
  assertEquals((await rdmaCni(`vf-mac init ${netdev}`)).code, 0);
  assertEquals(await adminMac(1), macs[1]);
}, { sets: ["surroundings", "newest", "oldest"] });

vfMacCase(
  "init passes over a function whose RDMA device is in a pod, and does the others",
  async (netdev) => {
    await makeRandom(0);
    await makeRandom(1);
    const { rdmaDevice } = await addPod();
    await rdmaToNetns(rdmaDevice, "pod");
    const before = await rdmaDevices("pod");
    const outcome = await rdmaCni(`vf-mac init ${netdev}`);
    assertRefused(outcome, new RegExp(`RDMA device "${rdmaDevice}" is in /run/netns/pod`), 3);
    assertEquals(await rdmaDevices("pod"), before);
    assertNotEquals(await nodeGuid(1), "0000:0000:0000:0000");
    assertRefused(await rdmaCni(`vf-mac init ${netdev}`), /assigned 0, failed 1/, 1);
    assertEquals((await rdmaCni(`vf-mac init ${netdev} --force 0`)).code, 0);
    assertEquals((await list())[0]!.ready, true);
  },
);

vfMacCase("a driver that never comes back is reported, and the others get theirs", async (netdev) => {
  await makeRandom(3);
  setSimParameter("refuse_binds", 1000);
  const { deviceId } = vf(3);
  const set = await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC} --timeout 1`);
  assertRefused(
    set,
    new RegExp(
      `Cannot rebind VF 3 .* now has no driver; .*"igbvf".*EBUSY.* for 1 s \\| .*echo ${deviceId} > ` +
        "/sys/bus/pci/drivers/igbvf/bind",
    ),
  );
  await makeRandomUnbound(4);
  const refusals = Number(simParameter("refuse_binds"));
  setSimParameter("refuse_binds", 3); // VF 3 at once and a second later, VF 4 at once
  assert(refusals < 1000);
  assertRefused(
    await rdmaCni(`vf-mac init ${netdev} --timeout 1`),
    /assigned 1, failed 1/,
    3,
  );
  const listed = await list();
  assertEquals([listed[3]!.reason, listed[4]!.ready], ["no driver is bound", true]);
  await assertCode(0, rdmaCni(`vf-mac init ${netdev} --timeout 1`));
  assertEquals((await list())[3]!.ready, true);
}, { needs: "bindError" });

async function makeRandomUnbound(number: number): Promise<void> {
  unbind(vfs()[number]!.deviceId);
  await setAdminMac(number, NO_MAC);
}

vfMacCase("while the PF is down a function does not take its address, which is said", async (netdev) => {
  await shOk(`ip link set ${netdev} down`);
  await until("the PF is down", () => operState(netdev) === "down");
  assertRefused(
    await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC}`),
    new RegExp(`Cannot make VF 3 .* its netdev has .*, and ${netdev} is down: .*ip link set ${netdev} up`),
  );
});

vfMacCase("without the capability it needs it says so", async (netdev) => {
  await assertUnchanged(async () => {
    const drop = "setpriv --bounding-set -net_admin --inh-caps -net_admin";
    assertRefused(
      await sh(`${drop} /opt/cni/bin/rdma vf-mac set ${netdev} 3 ${NEW_MAC}`),
      /EPERM \(1\).*CAP_NET_ADMIN/,
    );
  });
});
