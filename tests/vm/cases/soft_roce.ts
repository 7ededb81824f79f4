// Soft-RoCE devices through the plugin, and packets between two pods. Kernels before 7.3 cannot move such a device.
import { assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import { parseAll } from "../../support/yaml.ts";
import {
  addNetns,
  assertCode,
  assertError,
  assertInPod,
  assertQuiet,
  assertResult,
  attachment,
  config,
  deleteNetns,
  EXAMPLES,
  letKernelLoadModules,
  libcni,
  netdevToNetns,
  netnsPath,
  type Outcome,
  prevResult,
  rdmaNames,
  readRecord,
  records,
  sh,
  shOk,
  startBackground,
  unloadModule,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { killAt, listSystemCalls } from "../../rig/vm/guest/injection.ts";
import { LONG } from "../../rig/vm/guest/options.ts";
import { POD_UID, PodCgroup, SYSTEMD_CGROUP } from "../../rig/vm/guest/pod_cgroup.ts";
import { type CaseFields, isBefore, LACKS, parseRelease } from "../../rig/vm/kernels.ts";

/** What makes a device, as strace prints it (RDMA_NLDEV_CMD_NEWLINK). */
const NEWLINK = /nlmsg_type=0x1403\b/;
const SERVER = "10.9.0.1";

/** An attachment of a pod whose interface net1 gets a Soft-RoCE device. */
function softPod(netns: string, keys: object = {}, args?: string) {
  const interfaces = [{ name: "net1", sandbox: netnsPath(netns) }];
  const soft = config({ softRoCE: true, prevResult: prevResult({ interfaces }), ...keys });
  return attachment("", {
    netns,
    config: soft,
    containerId: `container-${netns}`,
    ...(args ? { args } : {}),
  });
}

/** A case on a node that has module rdma_rxe, which the kernel loads. Whatever it leaves, no Soft-RoCE device may be on the host. */
function softCase(name: string, run: () => Promise<void>, fields: CaseFields = {}): void {
  vmCase(`soft-roce: ${name}`, async () => {
    const before = await rdmaNames();
    using _helper = await letKernelLoadModules();
    await run();
    assertEquals(await rdmaNames(), before);
    assertEquals(records(), []);
  }, { sets: ["plugin", "newest"], needs: "movableSoftRoce", ...fields });
}

/** Two pods, "one" and "two", whose interfaces net1 are the ends of a veth pair. */
async function joinedPods(): Promise<void> {
  for (const name of ["one", "two"]) await addNetns(name);
  await shOk("ip link add net1 netns one type veth peer name net1 netns two");
  await shOk(`ip -n one address add ${SERVER}/24 dev net1 && ip -n one link set net1 up`);
  await shOk("ip -n two address add 10.9.0.2/24 dev net1 && ip -n two link set net1 up");
}

/** Sends 50 messages each way between the pods' devices, as programs do that know nothing of namespaces. */
async function pingPong(device: string, address = SERVER): Promise<Outcome> {
  const pingPong = `stdbuf -oL ibv_rc_pingpong -d ${device} -g 1 -n 50`;
  const server = await startBackground(`ip netns exec one ${pingPong}`, "local address").catch(() =>
    undefined
  );
  const listens = async () => (await shOk("ip netns exec one ss -Hltn sport = :18515")) !== "";
  if (server) await until("the server listens", listens);
  return await sh(`ip netns exec two timeout 20 ${pingPong} ${address}`);
}

softCase("packets go between the example's pods after ADD through libcni, and none after DEL", async () => {
  const text = Deno.readTextFileSync(`${EXAMPLES}/soft_roce_net_crd.yaml`);
  const [network] = parseAll(text) as { spec: { config: string } }[];
  const conflist = JSON.parse(network!.spec.config);
  const call = (command: "add" | "check" | "del", netns: string) =>
    libcni({ command, conflist, netns, containerId: netns });
  const addresses: string[] = [];
  for (const name of ["one", "two"]) {
    await addNetns(name);
    const added = await call("add", name);
    assertResult(added);
    const [{ address }] = added.json!["ips"] as [{ address: string }];
    addresses.push(address.replace(/\/\d+$/, ""));
    await assertCode(0, call("check", name));
  }
  const { code, stdout, stderr } = await pingPong("rxe0", addresses[0]);
  assertEquals(code, 0, stdout + stderr);
  assertMatch(stdout, /50 iters in/);
  for (const name of ["one", "two"]) await assertCode(0, call("del", name));
  const after = await pingPong("rxe0", addresses[0]);
  assertNotEquals(after.code, 0);
  assertMatch(after.stderr, /rxe0 not found|No IB devices found/);
});

softCase("each kind of Ethernet interface can have a device, under the name that is asked for", async () => {
  const makers: Record<string, () => Promise<void>> = {
    macvlan: async () => {
      await shOk("ip link add parent0 type dummy && ip link set parent0 up");
      await shOk("ip link add net1 link parent0 netns macvlan type macvlan mode bridge");
    },
    veth: async () => {
      await shOk("ip link add net1 netns veth type veth peer name veth-peer");
    },
    vf: () => netdevToNetns(vf(0).netdev, "vf", "net1"),
  };
  for (const [name, make] of Object.entries(makers)) {
    await addNetns(name);
    await make();
    const pod = softPod(name, {}, "rdmaDeviceName=roce_{ifname}");
    assertResult(await pod.add());
    await assertInPod(["roce_net1"], name);
    assertQuiet(await pod.check());
    assertQuiet(await pod.del());
    await assertInPod([], name);
    await deleteNetns(name);
  }
});

softCase("an interface that has a device gets none until that is removed as told", async () => {
  await joinedPods();
  await shOk("nsenter --net=/run/netns/one rdma link add foreign0 type rxe netdev net1");
  const one = softPod("one");
  const refused = await one.add();
  assertError(refused, 120, /has one already/);
  const [, command] = /remove it: (rdma link delete NAME);/.exec(`${refused.json?.details}`)!;
  await shOk(command!.replace("NAME", "foreign0"));
  assertResult(await one.add());
  assertQuiet(await one.del());
});

softCase("a pod's limits hold for its device, and go with it", async () => {
  await joinedPods();
  await using cgroup = await PodCgroup.create(SYSTEMD_CGROUP);
  const pod = softPod("one", { rdmaLimits: { hcaHandle: 1 } }, `K8S_POD_UID=${POD_UID}`);
  assertResult(await pod.add());
  assertEquals(cgroup.limits(), ["rxe0 hca_handle=1 hca_object=max"]);
  assertQuiet(await pod.check());
  assertQuiet(await pod.del());
  assertEquals(cgroup.limits(), []);
});

softCase("a device ends with its interface or its namespace; CHECK fails, and DEL succeeds", async () => {
  await joinedPods();
  const before = await rdmaNames();
  const [one, two] = [softPod("one"), softPod("two")];
  for (const pod of [one, two]) assertResult(await pod.add());
  await shOk("ip -n one link del net1"); // and its peer
  await until("the devices are gone", async () => (await rdmaNames("one")).length === 0);
  assertError(await one.check(), 113, /rxe0.*is not in/);
  for (const pod of [one, two]) assertQuiet(await pod.del());

  await shOk("ip link add net1 netns one type veth peer name net1 netns two");
  assertResult(await one.add());
  await deleteNetns("one");
  await until("the device is gone", async () => `${await rdmaNames()}` === `${before}`);
  assertQuiet(await one.del());
});

softCase("ADD that is killed at a message to the kernel leaves what DEL removes", async () => {
  await joinedPods();
  const one = softPod("one");
  const calls = await listSystemCalls((wrapper) => one.add({ wrapper }));
  const messages = calls.filter(({ name }) => name === "sendto");
  assertQuiet(await one.del());
  const newLink = messages.findIndex(({ text }) => NEWLINK.test(text));
  const points = LONG ? messages : messages.slice(Math.max(newLink, 0));
  const found: string[] = [];
  for (const point of points) {
    const { code, stderr } = await one.add({ wrapper: killAt(point) });
    assertEquals(code, 137, stderr);
    const inPod = await rdmaNames("one");
    const onHost = (await rdmaNames()).filter((name) => name.startsWith("rdma-cni-"));
    found.push(`${onHost.length} on the host, ${inPod.map((name) => name.replace(/\d+$/, "N"))} in the pod`);
    for (const file of records()) assertEquals(readRecord(file)["softRoCE"], true);
    assertQuiet(await one.del());
    assertEquals([...await rdmaNames("one"), ...records()], []);
  }
  assertEquals(
    [...new Set(found)].sort(),
    ["0 on the host,  in the pod", "0 on the host, rdma-cni-N in the pod", "0 on the host, rxeN in the pod"]
      .concat("1 on the host,  in the pod").sort(),
  );
}, { limitMs: 300_000 });

vmCase("soft-roce, on any kernel: code 103 without the module and before 7.3, nothing left", async () => {
  const before = await rdmaNames();
  await addNetns("pod");
  await shOk("ip link add net1 netns pod type veth peer name veth-peer");
  const pod = softPod("pod");
  await unloadModule("rdma_rxe"); // another case may have used it
  const refused = await pod.add();
  assertError(refused, 103, /has no Soft-RoCE/);
  using _helper = await letKernelLoadModules();
  const [, command] = /on this node: (modprobe rdma_rxe);/.exec(`${refused.json?.details}`)!;
  await shOk(command!.replace("modprobe", 'modprobe --dirname "$MODULES"'));
  const outcome = await pod.add();
  const isMovable = !isBefore(parseRelease(Deno.osRelease()), LACKS.movableSoftRoce.since);
  if (isMovable) assertResult(outcome);
  else assertError(outcome, 103, /cannot move one into a network namespace.*Linux 7\.3.*EOPNOTSUPP/);
  assertQuiet(await pod.del());
  assertEquals([await rdmaNames(), records()], [before, []]);
  assertResult(await softPod("pod", { optional: true }).add());
  assertQuiet(await pod.del());
  assertEquals([await rdmaNames(), records()], [before, []]);
}, { sets: ["plugin", "newest", "middle", "oldest", "arm64"] });
