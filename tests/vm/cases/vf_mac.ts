// What people type about the addresses of virtual functions.
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import { again, attachment, records, STATE_DIRECTORY, writeRecord } from "../../rig/vm/guest/attachment.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  addPod,
  assertCode,
  bind,
  names,
  netdevToNetns,
  pf,
  rdmaDevices,
  rdmaToNetns,
  rebind,
  setSimParameter,
  sh,
  shOk,
  simParameter,
  startBackground,
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
}, { sets: ["surroundings", "contract", "short"] });

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

vfMacCase("list fits a terminal of 80 columns, and the wide table says more", async (netdev) => {
  const { stdout } = await rdmaCni(`vf-mac list ${netdev}`);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
  const wide = (await rdmaCni(`vf-mac list ${netdev} -o wide`)).stdout.trimEnd().split("\n");
  assertEquals(wide.length, 8);
  assertMatch(wide[0]!, / READY +DRIVER +ADMIN-ADDRESS +NODE-GUID +USED-BY-POD +USED-BY-HOST$/);
  const guids = await Promise.all(vfs().map((_, number) => nodeGuid(number)));
  assertEquals(wide.slice(1).map((line) => line.split(/ {2,}/)[9]), guids);
});

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
}, { sets: ["surroundings", "contract", "short"] });

vfMacCase("set --no-rebind leaves the driver alone", async (netdev) => {
  const before = await indexes();
  const { code, stderr } = await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC} --no-rebind`);
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /takes it at the next bind/);
  assertEquals([await adminMac(3), vf(3).mac, await indexes()], [NEW_MAC, HOST_MACS[3], before]);
  rebind(vf(3).deviceId);
  assertEquals(await nodeGuid(3), NEW_GUID);
});

vfMacCase("a dry run changes nothing and says what would be", async (netdev) => {
  await makeRandom(2);
  await assertUnchanged(async () => {
    const set = await assertCode(0, rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC} --dry-run`));
    assertMatch(
      set.stdout,
      new RegExp(`^VF 3 of ${netdev} .* would get MAC address ${NEW_MAC}, then igbvf .*\n$`),
    );
    const init = await assertCode(0, rdmaCni(`vf-mac init ${netdev} --dry-run`));
    assertMatch(
      init.stdout,
      /^VF 2 of .* would get [0-9a-f:]{17} \(node GUID is zero\)\nready \d, planned 1, failed 0\n$/,
    );
  });
  assertEquals(records(), []);
});

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
}, { sets: ["surroundings", "contract", "short"] });

vfMacCase("a function whose netdev is in a pod is refused and named, unless forced", async (netdev) => {
  await addNetns("pod");
  await netdevToNetns(vf(0).netdev, "pod", "net1");
  const set = `vf-mac set ${netdev} 0 ${NEW_MAC}`;
  await assertUnchanged(async () => {
    assertRefused(
      await rdmaCni(set),
      /Cannot change VF 0 of .*: its netdev "net1" is in \/run\/netns\/pod.*--force/,
    );
  });
  await assertCode(0, rdmaCni(`${set} --force`));
  assertEquals([vf(0).mac, await nodeGuid(0)], [NEW_MAC, NEW_GUID]);
}, { needs: "linkParent" });

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

vfMacCase("a function that a record of the plugin names is refused", async (netdev) => {
  const { deviceId } = await addPod();
  assertEquals((await attachment(deviceId).add()).code, 0);
  const [file] = records();
  const record = JSON.parse(Deno.readTextFileSync(`${STATE_DIRECTORY}/${file}`));
  assertEquals((await attachment(deviceId).del()).code, 0);
  writeRecord(file!, record);
  const set = `vf-mac set ${netdev} 0 ${NEW_MAC}`;
  await assertUnchanged(async () => {
    assertRefused(
      await rdmaCni(set),
      /container "container1" has it as "net1", according to the record .*net-container1-net1/,
    );
  });
  writeRecord(file!, { ...record, bootID: "an earlier boot" });
  assertEquals((await rdmaCni(set)).code, 0);
});

vfMacCase("a function bound to vfio-pci is left alone", async (netdev) => {
  await shOk(`modprobe --dirname "$MODULES" vfio-pci`);
  const { deviceId } = vf(0);
  const override = `/sys/bus/pci/devices/${deviceId}/driver_override`;
  unbind(deviceId);
  Deno.writeTextFileSync(override, "vfio-pci");
  try {
    bind(deviceId);
    const driver = () => Deno.readLinkSync(`/sys/bus/pci/devices/${deviceId}/driver`).split("/").at(-1);
    assertEquals(driver(), "vfio-pci");
    const set = `vf-mac set ${netdev} 0 ${NEW_MAC}`;
    assertRefused(await rdmaCni(set), /bound to "vfio-pci", so a virtual machine may have it/);
    const init = await assertCode(0, rdmaCni(`vf-mac init ${netdev}`));
    assertMatch(init.stderr, /VF 0 of .* is left alone: bound to vfio-pci/);
    assertEquals(await adminMac(0), HOST_MACS[0]);
    assertEquals((await rdmaCni(`${set} --force`)).code, 0);
    assertEquals([driver(), await adminMac(0)], ["vfio-pci", NEW_MAC]);
  } finally {
    Deno.writeTextFileSync(override, "\n");
    unbind(deviceId);
  }
});

vfMacCase("a driver that fails to bind is tried again", async (netdev) => {
  setSimParameter("refuse_binds", 2);
  const { code, stderr } = await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC}`);
  assertEquals(code, 0, stderr);
  assertEquals(simParameter("refuse_binds"), "0");
  assertEquals([vf(3).mac, await nodeGuid(3)], [NEW_MAC, NEW_GUID]);
});

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

vfMacCase("a driver that makes no RDMA device is reported", async (netdev) => {
  setSimParameter("no_rdma", true);
  assertRefused(
    await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC} --timeout 1`),
    /driver is bound but created no RDMA device within 1 s, twice/,
  );
  assertNotEquals(again({ deviceId: vfs()[3]!.deviceId }).netdev, undefined);
});

vfMacCase("while the PF is down a function does not take its address, which is said", async (netdev) => {
  await shOk(`ip link set ${netdev} down`);
  await until("the PF is down", () => operState(netdev) === "down");
  assertRefused(
    await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC}`),
    new RegExp(`Cannot make VF 3 .* its netdev has .*, and ${netdev} is down: .*ip link set ${netdev} up`),
  );
});

/** Runs command lines that must be refused while there would be something to do. */
async function assertAllRefused(cases: [words: string, reason: RegExp, code?: number][]): Promise<void> {
  await makeRandom(2);
  await assertUnchanged(async () => {
    for (const [words, reason, code = 1] of cases) {
      assertRefused(await rdmaCni(`vf-mac ${words}`), reason, code);
    }
  });
}

vfMacCase("addresses that are malformed or that somebody has are refused", async (netdev) => {
  await assertAllRefused([
    [`set ${netdev} 3 03:03:00:00:77:01`, /multicast/, 2],
    [`set ${netdev} 3 ${NO_MAC}`, /all zeros/, 2],
    [`set ${netdev} 3 02:03:00:00:77`, /not a MAC address/, 2],
    [`set ${netdev} 3 ${HOST_MACS[4]}`, new RegExp(`VF 4 of ${netdev} has it`)],
    [`set ${netdev} 3 ${pf().mac}`, new RegExp(`PF ${netdev} has it`)],
    [`set ${netdev} 3 0203:00ff:fe00:7701 --guid`, /not an InfiniBand port/],
  ]);
});

vfMacCase("functions that are not there, or are none, are refused", async (netdev) => {
  await assertAllRefused([
    [`set ${netdev} 7 ${NEW_MAC}`, /Cannot find VF 7 .* VFs 0 to 6/],
    [`set eth99 3 ${NEW_MAC}`, /no network interface of that name/],
    [`set ${vf(0).netdev} 3 ${NEW_MAC}`, /it is not an SR-IOV physical function/],
    [`init ${netdev} lo`, /"lo": it is not an SR-IOV physical function/],
    [`list lo`, /it is not an SR-IOV physical function/],
  ]);
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

vfMacCase("init draws a bar on a terminal", async (netdev) => {
  await makeRandom(2);
  const { stdout } = await sh(`script --quiet --command "/opt/cni/bin/rdma vf-mac init ${netdev}" /dev/null`);
  assertMatch(stdout, /\[-+\] 0\/1 VF 2 of /);
  assertMatch(stdout, /ready 6, assigned 1/);
});

vfMacCase("a call of the plugin that holds the lock is waited for", async (netdev) => {
  Deno.mkdirSync(STATE_DIRECTORY, { recursive: true });
  const released = "/tmp/released";
  await startBackground(
    `exec flock ${STATE_DIRECTORY} sh -c "echo held; sleep 2; touch ${released}"`,
    "held",
  );
  const { code, stderr } = await rdmaCni(`vf-mac set ${netdev} 3 ${NEW_MAC}`);
  assertEquals(code, 0, stderr);
  Deno.removeSync(released); // which is not there if it did not wait
});

vfMacCase("a signal does not leave a function without driver", async (netdev) => {
  setSimParameter("refuse_binds", 1000);
  const { deviceId } = vf(3);
  const child = new Deno.Command("/opt/cni/bin/rdma", {
    args: ["vf-mac", "set", netdev, "3", NEW_MAC, "--timeout", "50"],
    stdout: "null",
    stderr: "null",
  }).spawn();
  const directory = `/sys/bus/pci/devices/${deviceId}`;
  await until("the driver is away", () => !names(directory).includes("driver"));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) child.kill(signal);
  setSimParameter("refuse_binds", 0);
  assertEquals((await child.status).code, 0);
  assertEquals([vf(3).mac, await nodeGuid(3)], [NEW_MAC, NEW_GUID]);
});
