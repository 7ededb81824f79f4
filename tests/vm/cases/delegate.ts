// A single plugin that runs the one before it: as dra-driver-sriov calls it, through the real libcni, with host-device
// in the place of sriov.
import { assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import { parseAll } from "../../support/yaml.ts";
import {
  again,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertResult,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addPod,
  assertCode,
  type CompleteFunction,
  EXAMPLES,
  INSTALLED_PLUGIN,
  libcni,
  names,
  plugin,
  shOk,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const DIRECTORY = INSTALLED_PLUGIN.replace(/\/rdma$/, "");
/** While this file is there, an ADD of the delegate ends with the death of the plugin that runs it. */
const KILL = "/run/kill";

/** host-device under the name of sriov, which knows the function by "deviceID". */
const SRIOV = `#!/bin/sh
sed 's/"deviceID"/"pciBusID"/' | /usr/lib/cni/host-device || exit
if [ $CNI_COMMAND = ADD ] && [ -e ${KILL} ]; then kill -9 $PPID; fi
`;

const [{ spec }] = parseAll(Deno.readTextFileSync(`${EXAMPLES}/delegate_net_crd.yaml`)) as [
  { spec: { config: string } },
];
const EXAMPLE = JSON.parse(spec.config);
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
  keys: object = {},
): void {
  vmCase(`delegate: ${name}`, async () => {
    const of = await addPod();
    await Deno.writeTextFile(`${DIRECTORY}/sriov`, SRIOV, { mode: 0o755 });
    try {
      const conflist = { ...NETWORK, deviceID: of.deviceId, ...keys };
      await test(
        (command) => libcni({ command, conflist, netns: "pod", args: "IgnoreUnknown=true" }),
        of,
        conflist,
      );
    } finally {
      await Deno.remove(`${DIRECTORY}/sriov`);
    }
  });
}

/** Asserts that the function is as it was, and its address is free. */
function assertReturned({ deviceId, netdev, rdmaDevice }: CompleteFunction): void {
  assertNothingLeft();
  const { netdev: now, rdmaDevices } = again({ deviceId });
  assertEquals([now, rdmaDevices], [netdev, [rdmaDevice]]);
  const addresses = names(`/var/lib/cni/networks/${NETWORK.name}`).filter((name) => /^\d/.test(name));
  assertEquals(addresses, []);
}

delegateCase("one plugin moves interface and RDMA device, and DEL returns both", async (run, of) => {
  const added = await run("add");
  assertResult(added);
  assertEquals(added.json!.interfaces, [{ name: "net1", mac: of.mac, sandbox: "/run/netns/pod" }]);
  await assertInPod([of.rdmaDevice]);
  assertMatch(await shOk("ip -n pod -br address show net1"), /^net1 .*10\.56\.218\./);
  await assertCode(0, run("check"));
  await assertCode(0, run("del"));
  assertReturned(of);
});

delegateCase("killed between the delegate's ADD and the move: DEL returns both", async (run, of) => {
  await Deno.writeTextFile(KILL, "");
  try {
    assertNotEquals((await run("add")).code, 0);
  } finally {
    await Deno.remove(KILL);
  }
  assertEquals(records(), []);
  assertMatch(await shOk("ip -n pod -br link show net1"), /^net1/);
  await assertCode(0, run("del"));
  assertReturned(of);
});

delegateCase("a move that fails leaves the interface on the host too", async (run, of) => {
  assertError(await run("add"), 110, /among those of/);
  assertReturned(of);
}, { rdmaDevices: [2] });

delegateCase("a device that cannot be restored keeps its interface in the pod", async (run, of, config) => {
  assertResult(await run("add"));
  const refused = ["strace", "-f", "-o", "/dev/null", "--trace=setns", "--inject=setns:error=EPERM"];
  assertError(await plugin({ command: "DEL", netns: "pod", config, wrapper: refused }), 120, /EPERM/);
  await assertInPod([of.rdmaDevice]);
  assertMatch(await shOk("ip -n pod -br link show net1"), /^net1/);
  assertEquals((await run("del")).code, 0);
  assertReturned(of);
});
