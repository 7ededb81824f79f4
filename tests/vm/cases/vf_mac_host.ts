// Virtual functions that the host uses, that cannot do RDMA, that take their time, or that are InfiniBand's.
import { assert, assertEquals, assertMatch, assertNotEquals, assertNotMatch } from "../../support/assert.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  holdContext,
  netdevToNetns,
  pf,
  setSimParameter,
  shOk,
  until,
  vf,
  vfs,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { PROJECT } from "../../rig/vm/guest/programs.ts";
import {
  assertRefused,
  assertUnchanged,
  HOST_MACS,
  indexes,
  list,
  makeRandom,
  NEW_MAC,
  nodeGuid,
  vfMacCase,
} from "../../rig/vm/guest/vf_addresses.ts";

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
    for (const [number, use] of uses.entries()) {
      const words = use.replaceAll(/[()]/g, "\\$&");
      const outcome = await rdmaCni(`vf-mac set ${netdev} ${number} 02:03:00:00:77:0${number}`);
      assertRefused(
        outcome,
        new RegExp(`Cannot change VF ${number} .*: the host uses it: ${words} .*--force`),
      );
    }
    assertRefused(await rdmaCni("vf-mac init --all --force 0"), /--force takes VFs of one physical/, 2);
  });

  const before = await indexes();
  const { code, stderr } = await rdmaCni(`vf-mac init ${netdev} --force 0 3`);
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /ready 0, assigned 2, failed 0\n$/);
  assertEquals((await list()).map(({ ready }) => ready), [true, false, false, true, false, false, false]);
  assertEquals((await indexes()).filter((index) => before.includes(index)).length, before.length - 2);

  const { findings } = JSON.parse((await rdmaCni("doctor --json")).stdout);
  const words = findings.filter(({ group, level }: { group: string; level: string }) =>
    group === "vfs" && level === "warning"
  ).map(({ text }: { text: string }) => text);
  assertEquals(words.length, 5, JSON.stringify(findings));
  assertEquals(words[0], `${netdev}: VF 1: node GUID is zero, but the host uses it: ${uses[1]}`);
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
    const { code, stderr } = await rdmaCni("vf-mac init --all");
    assertEquals([code, stderr], [0, "ready 7, assigned 0, failed 0\n"]);
    const doctor = await rdmaCni("doctor");
    assertMatch(doctor.stdout, /^ok +vfs +7 of 7 ready for RDMA CM$/m);
    assertNotMatch(doctor.stdout, /^(problem|warning) +vfs /m);
  });
}, { needs: "linkParent" });

vfMacCase("on InfiniBand the node and the port GUID are set, each verified", async (netdev) => {
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
  const table = (await rdmaCni("vf-mac list ibpf0 -o wide")).stdout;
  assertMatch(table, new RegExp(`^ibpf0 +3 .* ${guid} `, "m"));
  assert(!table.includes("ee:ee"), table);

  assertRefused(await rdmaCni(`vf-mac set ibpf0 4 ${guid} --guid`), /VF 3 of ibpf0 has it/);
  // The simulated RDMA device has a node GUID of its MAC address, whatever GUID the port gets.
  const before = await nodeGuid(3);
  const set3 = (address: string) => rdmaCni(`vf-mac set ibpf0 3 ${address} --guid`);
  assertRefused(await set3("0203:00ff:fe00:7702"), new RegExp(`its RDMA device mlx5_\\d+ has ${before}`));
  assertEquals((await set3(before!)).code, 0);
  assertMatch((await set3(before!)).stderr, /already has GUID/);

  // Ethernet's functions are dealt with all the same.
  await makeRandom(1);
  assertEquals((await rdmaCni("vf-mac init --all")).code, 0);
  assertNotEquals(await nodeGuid(1), "0000:0000:0000:0000");
  assertRefused(await rdmaCni(`vf-mac set ${netdev} 3 ${guid} --guid`), /not an InfiniBand port/);
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
