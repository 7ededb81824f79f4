// Networks as Multus and dra-driver-sriov hand them over, through the real libcni. Neither sriov nor ib-sriov nor a
// host-device that knows the auxiliary bus (1.5) can be installed from Debian, so Debian's host-device (1.1) takes
// their place, keeping capabilities and IPAM.
import { assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import { parseAll } from "../../support/yaml.ts";
import {
  addNetns,
  addPod,
  again,
  assertCode,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertResult,
  type CompleteFunction,
  EXAMPLES,
  hostRdmaDevices,
  INSTALLED_PLUGIN,
  ipoibOf,
  libcni,
  makeInfiniBand,
  names,
  plugin,
  rdmaToNetns,
  records,
  sf,
  shOk,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import type { CaseFields } from "../../rig/vm/kernels.ts";

type Plugin = Record<string, unknown>;

/** The documents of an example, of which a network has a configuration and a pod annotations. */
function read(
  file: string,
): { spec: { config: string }; metadata: { annotations: Record<string, string> } }[] {
  return parseAll(Deno.readTextFileSync(`${EXAMPLES}/${file}`)) as ReturnType<typeof read>;
}

const networkOf = (file: string) => JSON.parse(read(file)[0]!.spec.config);

// Chains.

const ANNOTATION = read("rdma_test_pods.yaml")[0]!.metadata.annotations["k8s.v1.cni.cncf.io/networks"]!;
const [{ ips }] = JSON.parse(ANNOTATION);

const NETWORKS: {
  file: string;
  fields: CaseFields;
  of: () => CompleteFunction;
  replace: (plugin: Plugin, of: CompleteFunction) => Plugin;
}[] = [
  {
    file: "rdma_net_crd.yaml",
    fields: { sets: ["plugin"] },
    of: () => vf(2),
    replace: (plugin) => ({ ...plugin, type: "host-device" }),
  },
  {
    file: "sf_net_crd.yaml",
    fields: { sets: ["surroundings"], needs: "auxiliaryBus" },
    of: () => sf(1),
    replace: ({ type, ipam }, { netdev }) => ({ type, ipam, device: netdev, capabilities: { ips: true } }),
  },
];

for (const { file, fields, of, replace } of NETWORKS) {
  vmCase(`examples: ${file}, ADD, CHECK and DEL through libcni`, async () => {
    const used = of();
    const { deviceId, netdev, mac, rdmaDevice } = used;
    const conflist = networkOf(file);
    assertEquals(conflist.plugins.length, 2);
    // Multus writes both keys into each plugin of the list (pkg/types/conf.go, addDeviceIDInConfList).
    const [first, own] = conflist.plugins.map((plugin: Plugin) => ({
      ...plugin,
      ...{ deviceID: deviceId, pciBusID: deviceId },
    }));
    await addNetns("pod");
    const call = {
      conflist: { ...conflist, plugins: [replace(first, used), own] },
      netns: "pod",
      capabilities: { deviceID: deviceId, ips },
    };
    const added = await libcni({ command: "add", ...call });
    assertResult(added);
    assertEquals(added.json!.interfaces, [{ name: "net1", mac, sandbox: "/run/netns/pod" }]);
    assertMatch(await shOk("ip -n pod -br address show net1"), new RegExp(`^net1 .*${ips[0]}`));
    await assertInPod([rdmaDevice]);

    await assertCode(0, libcni({ command: "check", ...call }));
    await assertCode(0, libcni({ command: "del", ...call }));
    assertNothingLeft();
    assertEquals(again(used).netdev, netdev);
  }, fields);
}

vmCase("examples: ib_net_crd.yaml, the device moved before the interface as ib-sriov-cni does", async () => {
  const { deviceId } = vf(2);
  const { rdmaDevice } = await makeInfiniBand(deviceId);
  const conflist = networkOf("ib_net_crd.yaml");
  const [{ capabilities, ipam, rdmaIsolation }, ...others] = conflist.plugins;
  assertEquals([rdmaIsolation, others], [true, []]);
  await addNetns("pod");
  await rdmaToNetns(rdmaDevice, "pod");
  const plugin = { type: "host-device", device: ipoibOf(deviceId), capabilities, ipam };
  const call = { conflist: { ...conflist, plugins: [plugin] }, netns: "pod", capabilities: { ips } };
  assertResult(await libcni({ command: "add", ...call }));
  assertMatch(await shOk("ip -n pod -details link show net1"), /link\/infiniband/);
  assertMatch(await shOk("ip -n pod -br address show net1"), new RegExp(`^net1 .*${ips[0]}`));
  await assertInPod([rdmaDevice]);

  await assertCode(0, libcni({ command: "del", ...call }));
  await hostRdmaDevices(rdmaDevice, "pod");
  assertEquals(again({ deviceId }).rdmaDevices, [rdmaDevice]);
}, { sets: ["surroundings"] });

vmCase("device info: the file that Multus filled gets the device's name by the capability", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const pci = { "pci-address": deviceId, "pf-pci-address": "0000:01:00.0" };
  const file = "/var/run/k8s.cni.cncf.io/devinfo/cni/default-pod1-net1";
  Deno.mkdirSync(file.replace(/[^/]*$/, ""), { recursive: true });
  Deno.writeTextFileSync(file, JSON.stringify({ type: "pci", version: "1.1.0", pci }), { mode: 0o444 });
  const plugins = [
    { type: "host-device", capabilities: { deviceID: true } },
    { type: "rdma", capabilities: { deviceID: true, CNIDeviceInfoFile: true } },
  ];
  const call = {
    conflist: { cniVersion: "1.0.0", name: "net", plugins },
    netns: "pod",
    capabilities: { deviceID: deviceId, CNIDeviceInfoFile: file },
  };
  assertResult(await libcni({ command: "add", ...call }));
  assertEquals(JSON.parse(Deno.readTextFileSync(file)), {
    ...{ type: "pci", version: "1.1.0" },
    pci: { ...pci, "rdma-device": rdmaDevice },
  });
  await assertCode(0, libcni({ command: "del", ...call }));
  assertNothingLeft();
});

// A single plugin that runs the one before it, as dra-driver-sriov calls it.

const SRIOV = INSTALLED_PLUGIN.replace(/rdma$/, "sriov");
/** While this file is there, an ADD of the delegate ends with the death of the plugin that runs it. */
const KILL = "/run/kill";

/** host-device under the name of sriov, which knows the function by "deviceID". */
const SRIOV_PROGRAM = `#!/bin/sh
sed 's/"deviceID"/"pciBusID"/' | /usr/lib/cni/host-device || exit
if [ $CNI_COMMAND = ADD ] && [ -e ${KILL} ]; then kill -9 $PPID; fi
`;

const EXAMPLE = networkOf("delegate_net_crd.yaml");
/** The example on one node, with the IPAM that needs no cluster. */
const IPAM = { type: "host-local", subnet: "10.56.218.0/24" };
const NETWORK = { ...EXAMPLE, delegate: { ...EXAMPLE.delegate, ipam: IPAM } };

/** A case in which a pod is to get a function; the driver adds "deviceID" to the network (pkg/types/types.go, AddDeviceIDToNetConf). */
function delegateCase(
  name: string,
  test: (
    run: (command: "add" | "check" | "del") => ReturnType<typeof libcni>,
    of: CompleteFunction,
    config: object,
  ) => Promise<void>,
): void {
  vmCase(`delegate: ${name}`, async () => {
    const of = await addPod();
    await Deno.writeTextFile(SRIOV, SRIOV_PROGRAM, { mode: 0o755 });
    try {
      const conflist = { ...NETWORK, deviceID: of.deviceId };
      await test((command) => libcni({ command, conflist, netns: "pod" }), of, conflist);
    } finally {
      await Deno.remove(SRIOV);
    }
    // The function is as it was, and its address is free.
    assertNothingLeft();
    const { netdev, rdmaDevices } = again(of);
    assertEquals([netdev, rdmaDevices], [of.netdev, [of.rdmaDevice]]);
    assertEquals(names(`/var/lib/cni/networks/${NETWORK.name}`).filter((name) => /^\d/.test(name)), []);
  });
}

delegateCase("one plugin moves interface and RDMA device, and DEL returns both", async (run, of) => {
  const added = await run("add");
  assertResult(added);
  assertEquals(added.json!.interfaces, [{ name: "net1", mac: of.mac, sandbox: "/run/netns/pod" }]);
  await assertInPod([of.rdmaDevice]);
  assertMatch(await shOk("ip -n pod -br address show net1"), /^net1 .*10\.56\.218\./);
  await assertCode(0, run("check"));
  await assertCode(0, run("del"));
});

delegateCase("killed between the delegate's ADD and the move: DEL returns both", async (run) => {
  await Deno.writeTextFile(KILL, "");
  try {
    assertNotEquals((await run("add")).code, 0);
  } finally {
    await Deno.remove(KILL);
  }
  assertEquals(records(), []);
  assertMatch(await shOk("ip -n pod -br link show net1"), /^net1/);
  await assertCode(0, run("del"));
});

delegateCase("a device that cannot be restored keeps its interface in the pod", async (run, of, config) => {
  assertResult(await run("add"));
  const wrapper = ["strace", "-f", "-o", "/dev/null", "--trace=setns", "--inject=setns:error=EPERM"];
  assertError(await plugin({ command: "DEL", netns: "pod", config, wrapper }), 120, /EPERM/);
  await assertInPod([of.rdmaDevice]);
  assertMatch(await shOk("ip -n pod -br link show net1"), /^net1/);
  await assertCode(0, run("del"));
});
