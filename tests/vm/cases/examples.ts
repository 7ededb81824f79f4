// The examples' networks as Multus hands them over, through the real libcni. Neither sriov nor ib-sriov nor a
// host-device that knows the auxiliary bus (1.5) can be installed from Debian, so Debian's host-device (1.1) takes
// their place, keeping capabilities and IPAM.
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { parseAll } from "../../support/yaml.ts";
import {
  again,
  assertInPod,
  assertNothingLeft,
  assertResult,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  assertCode,
  casesWith,
  type CompleteFunction,
  EXAMPLES,
  hostRdmaDevices,
  ipoibOf,
  libcni,
  makeInfiniBand,
  rdmaToNetns,
  sf,
  shOk,
  vf,
} from "../../rig/vm/guest/harness.ts";
import type { LackName } from "../../rig/vm/kernels.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

type Plugin = Record<string, unknown>;
type Document = { spec: { config: string }; metadata: { annotations: Record<string, string> } };

function read(file: string): Document[] {
  return parseAll(Deno.readTextFileSync(`${EXAMPLES}/${file}`)) as Document[];
}

/** Multus writes both keys into each plugin of the list (pkg/types/conf.go, addDeviceIDInConfList). */
function asMultusDoes(plugin: Plugin, deviceId: string): Plugin {
  return { ...plugin, deviceID: deviceId, pciBusID: deviceId };
}

const [pod] = read("rdma_test_pods.yaml");
const [{ ips }] = JSON.parse(pod!.metadata.annotations["k8s.v1.cni.cncf.io/networks"]!);

const NETWORKS: {
  file: string;
  needs?: LackName;
  of: () => CompleteFunction;
  replace: (plugin: Plugin, of: CompleteFunction) => Plugin;
}[] = [
  { file: "rdma_net_crd.yaml", of: () => vf(2), replace: (plugin) => ({ ...plugin, type: "host-device" }) },
  {
    file: "sf_net_crd.yaml",
    needs: "auxiliaryBus",
    of: () => sf(1),
    replace: ({ type, ipam }, { netdev }) => ({ type, ipam, device: netdev, capabilities: { ips: true } }),
  },
];

for (const { file, needs, of, replace } of NETWORKS) {
  vmCase(`examples: ${file}, ADD, CHECK and DEL through libcni`, async () => {
    const used = of();
    const { deviceId, netdev, mac, rdmaDevice } = used;
    const conflist = JSON.parse(read(file)[0]!.spec.config);
    assertEquals(conflist.plugins.length, 2);
    const [first, own] = conflist.plugins.map((plugin: Plugin) => asMultusDoes(plugin, deviceId));
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
    assertEquals(records(), []);
  }, { needs });
}

vmCase("examples: ib_net_crd.yaml, the device moved before the interface as ib-sriov-cni does", async () => {
  const { deviceId } = vf(2);
  const { rdmaDevice } = await makeInfiniBand(deviceId);
  const conflist = JSON.parse(read("ib_net_crd.yaml")[0]!.spec.config);
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
});
