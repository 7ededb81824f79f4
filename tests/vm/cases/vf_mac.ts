// What people type about the addresses of virtual functions: also those that the host uses, that take their time, or that
// are InfiniBand's.
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import {
  addNetns,
  addPod,
  assertCode,
  holdContext,
  netdevToNetns,
  pf,
  rdmaCni,
  rdmaDevices,
  rdmaToNetns,
  rebind,
  setSimParameter,
  shOk,
  simParameter,
  unbind,
  until,
  vf,
  vfs,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { PROJECT } from "../../rig/vm/guest/programs.ts";
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

vfMacCase("init passes over a function whose RDMA device is in a pod", async (netdev) => {
  await makeRandom(0);
  await makeRandom(1);
  const { rdmaDevice } = await addPod();
  await rdmaToNetns(rdmaDevice, "pod");
  const before = await rdmaDevices("pod");
  const outcome = await rdmaCni(`vf-mac init ${netdev}`);
  assertRefused(outcome, new RegExp(`RDMA device "${rdmaDevice}" is in /run/netns/pod`), 3);
  assertEquals(await rdmaDevices("pod"), before);
  assertNotEquals(await nodeGuid(1), "0000:0000:0000:0000");
});

vfMacCase("a driver that does not come back is reported, and asked again by init", async (netdev) => {
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
  assert(Number(simParameter("refuse_binds")) < 1000);
  assertEquals((await list())[3]!.reason, "no driver is bound");
  setSimParameter("refuse_binds", 1);
  await assertCode(0, rdmaCni(`vf-mac init ${netdev} --timeout 10`));
  assertEquals((await list())[3]!.ready, true);
}, { needs: "bindError" });

vfMacCase("what the host uses is left alone and named, and taken only if forced", async (netdev) => {
  await shOk('modprobe --dirname "$MODULES" --all 8021q bridge');
  for (const number of HOST_MACS.keys()) await makeRandom(number);
  const [address, up, bridged, vlan] = vfs().map(({ netdev }) => netdev!);
  await shOk(`ip addr add 192.0.2.1/24 dev ${address}`);
  await shOk(`ip link set ${up} addrgenmode none && ip link set ${up} up`);
  await until("it has a carrier", () => Deno.readTextFileSync(`/sys/class/net/${up}/carrier`) === "1\n");
  await shOk(`ip link add br0 type bridge && ip link set ${bridged} master br0`);
  await shOk(`ip link add link ${vlan} name vlan7 type vlan id 7`);
  await holdContext(vf(4).rdmaDevice);
  setSimParameter("vdpa", 5);
  setSimParameter("representor", 6);
  await shOk("ip link set rep0 master br0");
  const uses = [
    `its netdev "${address}" has an IP address`,
    `its netdev "${up}" is up and has a carrier`,
    `its netdev "${bridged}" is below "br0"`,
    `its netdev "${vlan}" is below "vlan7"`,
    `programs have its RDMA device "${vf(4).rdmaDevice}" open (1 contexts)`,
    'it has the vDPA device "vdpa0"',
    'its representor "rep0" is in "br0"',
  ];
  await assertUnchanged(async () => {
    const { code, stderr } = await rdmaCni("vf-mac init --all");
    const lines = uses.map((use, number) =>
      `VF ${number} of ${netdev} (${vfs()[number]!.deviceId}) is left alone: ` +
      `node GUID is zero, but the host uses it: ${use}`
    );
    const counts = "ready 0, assigned 0, failed 0";
    assertEquals([code, stderr.trimEnd().split("\n")], [0, [...lines, counts]]);
    assertEquals((await list()).map(({ usedByHost }) => usedByHost), uses);
    assertRefused(
      await rdmaCni(`vf-mac set ${netdev} 0 ${NEW_MAC}`),
      new RegExp(`Cannot change VF 0 .*: the host uses it: ${uses[0]} .*--force`),
    );
  });

  const before = await indexes();
  const { code, stderr } = await rdmaCni(`vf-mac init ${netdev} --force 0 3`);
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /ready 0, assigned 2, failed 0\n$/);
  assertEquals((await list()).map(({ ready }) => ready), [true, false, false, true, false, false, false]);
  assertEquals((await indexes()).filter((index) => before.includes(index)).length, before.length - 2);
}, { needs: "vdpa" });

vfMacCase("a signal while drivers are bound side by side leaves none without driver", async (netdev) => {
  for (const number of HOST_MACS.keys()) await makeRandom(number);
  setSimParameter("bind_delay_ms", 2000);
  const child = new Deno.Command("/opt/cni/bin/rdma", {
    args: ["vf-mac", "init", netdev],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const unbound = () => vfs().filter(({ netdev }) => netdev === undefined).length;
  await until("all drivers are away", () => unbound() === HOST_MACS.length);
  child.kill("SIGTERM");
  const { code, stderr } = await child.output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  assertEquals((await list()).map(({ ready }) => ready), HOST_MACS.map(() => true));
});

vfMacCase("a pod with its own MAC address is as ready as others", async (netdev) => {
  await addNetns("pod");
  await netdevToNetns(vf(0).netdev, "pod", "net1");
  // As sriov-cni does with "mac"; igb must trust a function that sets its own address.
  await shOk(
    `ip link set ${netdev} vf 0 mac ${NEW_MAC} trust on && ip -n pod link set net1 address ${NEW_MAC}`,
  );
  await shOk(`ip link set ${netdev} vf 0 trust off`);
  await assertUnchanged(async () => {
    const [own] = await list();
    assertEquals([own!.adminMac, own!.effectiveMac, own!.ready], [NEW_MAC, NEW_MAC, true]);
    const { stderr } = await assertCode(0, rdmaCni("vf-mac init --all"));
    assertEquals(stderr, "ready 7, assigned 0, failed 0\n");
    assertMatch((await rdmaCni("doctor")).stdout, /^ok +vfs +7 of 7 ready for RDMA CM$/m);
  });
}, { needs: "linkParent" });

vfMacCase("on InfiniBand the node and the port GUID are set, each verified", async () => {
  setSimParameter("ib_pf", true);
  const guid = "0203:00ff:fe00:7701";
  const { code, stderr } = await rdmaCni(`vf-mac set ibpf0 3 ${guid} --guid --no-rebind`);
  assertEquals(code, 0, stderr);
  const logged = (await shOk("dmesg")).match(/rdma_sim: VF \d+ gets .*/g);
  const digits = guid.replaceAll(":", "");
  assertEquals(
    logged?.slice(-2),
    ["node", "port"].map((kind) => `rdma_sim: VF 3 gets ${kind} GUID ${digits}`),
  );
  const { stdout } = await rdmaCni("vf-mac list ibpf0 --json");
  const [other, own] = JSON.parse(stdout).slice(2, 4);
  assertEquals([own.isInfiniBand, own.adminMac, own.adminNodeGuid, own.adminPortGuid], [
    true,
    "00:00:00:00:00:00",
    guid,
    guid,
  ]);
  assertEquals(other.adminPortGuid, "0000:0000:0000:0000");
  // Ethernet's functions are dealt with all the same.
  await makeRandom(1);
  await assertCode(0, rdmaCni("vf-mac init --all"));
  assertNotEquals(await nodeGuid(1), "0000:0000:0000:0000");
});

vmCase("vf-mac: the documents' udev rule marks the netdevs of virtual functions and no others", async () => {
  const [, rule] = /^```udev\n(.*?)^```$/ms.exec(Deno.readTextFileSync(`${PROJECT}/docs/commands.md`))!;
  const file = "/etc/udev/rules.d/70-rdma-cni-vfs.rules";
  await Deno.mkdir("/etc/udev/rules.d", { recursive: true });
  await Deno.writeTextFile(file, rule!);
  try {
    await shOk(`udevadm verify ${file}`);
    const isMarked = async (netdev: string) =>
      /NM_UNMANAGED=1/.test(await shOk(`udevadm test --action=add /sys/class/net/${netdev} 2>&1`));
    assertEquals([await isMarked(vf(0).netdev), await isMarked(pf().netdev!), await isMarked("lo")], [
      true,
      false,
      false,
    ]);
  } finally {
    await Deno.remove(file);
  }
}, { sets: ["surroundings"] });
