// Which pod has which RDMA device: what `pods` prints, compared with what iproute2 and the test module say.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import type { PodPort } from "../../../src/node/pods.ts";
import { assertQuiet, assertResult, attachment, config, records } from "../../rig/vm/guest/attachment.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  casesWith,
  type CompleteFunction,
  deleteNetns,
  HOLD_CONTEXT,
  INSTALLED_PLUGIN,
  isInMove,
  netdevToNetns,
  netnsPath,
  type PluginCall,
  rdmaDevices,
  rdmaToNetns,
  setSimParameter,
  sh,
  shOk,
  startBackground,
  startPlugin,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const { hasNamesPerNetns } = new VmRig();

/** Of cases with two pods and many calls. */
const LIMIT_MS = 150_000;

/** A pod with an interface that has an address, and the attachment that gives it the function's RDMA device. */
async function addPod(name: string, one: CompleteFunction, address: string) {
  const { deviceId, rdmaDevice } = one;
  await addNetns(name);
  await netdevToNetns(one.netdev, name, "net1");
  await shOk(`ip -n ${name} address add ${address}/24 dev net1`);
  const gid = gidOf(address);
  const gids = `/sys/class/infiniband/${rdmaDevice}/ports/1/gids`;
  await until("the GID table has the address", async () => (await sh(`grep -x ${gid} ${gids}/*`)).code === 0);
  const call: Partial<PluginCall> = {
    netns: name,
    containerId: `container-${name}`,
    args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=${name}-0`,
    config: config({ deviceID: deviceId, ...(hasNamesPerNetns ? { rdmaDeviceName: "mlx5_0" } : {}) }),
  };
  const pair = attachment(deviceId, call);
  assertResult(await pair.add());
  const [device] = await rdmaDevices(name);
  return { ...one, name, call, pair, index: device!.index, podDevice: device!.name };
}

function gidOf(address: string): string {
  const [a, b, c, d] = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return `0000:0000:0000:0000:0000:ffff:${a}${b}:${c}${d}`;
}

interface PodDevice {
  pod: string;
  device: string;
  state: string;
  fix?: string;
  createdAt: string;
  resources: Record<string, number>;
  ports: PodPort[];
}

async function pods(words = "--json"): Promise<{ code: number; devices: PodDevice[]; stderr: string }> {
  const { code, stdout, stderr } = await rdmaCni(`pods ${words}`);
  return { code, devices: stdout === "" ? [] : JSON.parse(stdout), stderr };
}

/** What iproute2 says of the counters of a pod's device. */
async function countersOf({ name, podDevice }: { name: string; podDevice: string }) {
  const [link] = JSON.parse(
    await shOk(`nsenter --net=${netnsPath(name)} rdma -j statistic show link ${podDevice}/1`),
  );
  const { ifindex: _, ifname: __, port: ___, ...counters } = link;
  return counters;
}

vmCase(
  "pods: two pods: names, GIDs, counters, traffic and resources are those of each one's device",
  async () => {
    const placed = [
      await addPod("pod", vf(0), "10.0.0.2"),
      await addPod("other", vf(1), "10.0.0.3"),
    ];
    const [first, second] = placed as [typeof placed[0], typeof placed[0]];
    assertEquals(first.podDevice === second.podDevice, hasNamesPerNetns);
    const uverbs = await shOk(`ls /sys/bus/pci/devices/${first.deviceId}/infiniband_verbs`);
    await startBackground(
      `exec nsenter --net=${netnsPath("pod")} '${HOLD_CONTEXT}' /dev/infiniband/${uverbs.split("\n")[0]}`,
      "held",
    );
    const mounts = Deno.readTextFileSync("/proc/self/mountinfo");

    const { code, devices, stderr } = await pods();
    assertEquals([code, stderr, devices.length], [0, "", 2]);
    for (const { name, deviceId, rdmaDevice, index, podDevice } of placed) {
      const found = devices.find(({ pod }) => pod === `${name}-0`)!;
      const address = name === "pod" ? "10.0.0.2" : "10.0.0.3";
      const { createdAt, resources, ports: [port], ...facts } = found;
      assertEquals<unknown>(facts, {
        record: `net-container-${name}-net1`,
        namespace: "team-a",
        pod: `${name}-0`,
        containerID: `container-${name}`,
        interface: "net1",
        network: "net",
        deviceID: deviceId,
        device: podDevice,
        hostDevice: rdmaDevice,
        state: "present",
        findings: [],
      });
      assert(Math.abs(Date.parse(`${createdAt}`) - Date.now()) < 60_000);
      const held = name === "pod" ? 1 : 0;
      assertEquals([resources["ctx"], resources["pd"], resources["qp"]], [held, held, 0]);
      const { gid, ...values } = port!;
      assertEquals(gid?.gid, gidOf(address));
      const base = index * 1000;
      assertEquals(values, {
        number: 1,
        state: "4: ACTIVE",
        bitsPerSecond: 1e11,
        traffic: {
          rxBytes: 4 * (base + 101),
          txBytes: 4 * (base + 102),
          rxPackets: base + 103,
          txPackets: base + 104,
        },
        counters: {
          rx_write_requests: base + 1,
          out_of_sequence: base + 2,
          packet_seq_err: base + 3,
          local_ack_timeout_err: base + 4,
        },
      });
      assertEquals(values.counters, await countersOf({ name, podDevice }));
    }

    const table = await rdmaCni("pods -o wide");
    for (const { name, index } of placed) {
      assertMatch(
        table.stdout,
        new RegExp(`^team-a/${name}-0 .* ACTIVE +100G .* out_of_sequence=${index}002 `, "m"),
      );
    }
    const pod = 'pod_namespace="team-a",pod_name="other-0"';
    const labels = `${pod},interface="net1",device="${second.podDevice}",port="1"`;
    const { stdout: metrics } = await rdmaCni("pods -o prometheus");
    for (
      const sample of [
        `rdma_port_receive_bytes_total{${labels}} ${4 * (second.index * 1000 + 101)}`,
        `rdma_port_hw_counter{${labels},counter="packet_seq_err"} ${second.index * 1000 + 3}`,
        `rdma_port_state_id{${labels}} 4`,
        `rdma_pod_info{${pod},container_id="container-other"} 1`,
        'rdma_devices{status="present"} 2',
      ]
    ) assert(metrics.split("\n").includes(sample), `${sample}\n${metrics}`);

    setSimParameter("port_state", 1);
    assertEquals((await pods()).devices.map(({ ports }) => ports[0]!.state), ["1: DOWN", "1: DOWN"]);
    setSimParameter("port_state", 4);

    // Nothing was changed, and nothing keeps the namespaces alive.
    assertEquals(Deno.readTextFileSync("/proc/self/mountinfo"), mounts);
    for (const { name, podDevice } of placed) {
      assertEquals((await rdmaDevices(name)).map(({ name }) => name), [podDevice]);
      assertEquals(await shOk(`ip netns pids ${name} | wc -l`), name === "pod" ? "1" : "0");
    }
    assertQuiet(await second.pair.del());
    await deleteNetns("other");
    assertEquals((await pods()).devices.map(({ pod }) => pod), ["pod-0"]);
    assertQuiet(await first.pair.del());
    assertEquals(await pods(), { code: 0, devices: [], stderr: "" });
  },
  { sets: ["surroundings", "newest"], limitMs: LIMIT_MS },
);

vmCase("pods: a record whose namespace has gone is stale, with advice, until it is removed", async () => {
  const { pair } = await addPod("pod", vf(0), "10.0.0.2");
  await deleteNetns("pod");
  const { code, devices, stderr } = await pods();
  assertEquals([code, devices.map(({ state, fix }) => [state, fix]), stderr], [
    3,
    [["stale", "rdma-cni gc"]],
    "",
  ]);
  assertMatch((await rdmaCni("pods")).stderr, /^net-container-pod-net1 is stale: rdma-cni gc$/m);
  assertEquals(records(), ["net-container-pod-net1"]);
  assertQuiet(await pair.del({ netns: "" }));
  assertEquals(await pods(), { code: 0, devices: [], stderr: "" });
});

vmCase("pods: a device that an ADD or a DEL is just moving is waited for", async () => {
  await addPod("pod", vf(0), "10.0.0.2");
  const { call, pair } = await addPod("other", vf(1), "10.0.0.3");
  const readInMove = async (command: "ADD" | "DEL") => {
    setSimParameter("move_delay_ms", 3000);
    const child = await startPlugin({ ...call, command });
    await until(`${command} moves the device`, () => isInMove(child.pid), 30_000);
    const { code, devices, stderr } = await pods();
    setSimParameter("move_delay_ms", 0);
    assertEquals((await child.status).code, 0);
    assertEquals([code, stderr], [0, ""]);
    return devices.map(({ pod, state }) => `${pod} ${state}`);
  };
  // The device may still be in the pod, or already on the host; the other pod has nothing to do with it.
  const whileDel = await readInMove("DEL");
  assert(["pod-0 present", "other-0 present,pod-0 present"].includes(`${whileDel}`), `${whileDel}`);
  assertEquals(await readInMove("ADD"), ["other-0 present", "pod-0 present"]);
  assertQuiet(await pair.del());
}, { limitMs: LIMIT_MS });

vmCase(
  "pods: a device that its pod renames to control a terminal is printed in one line, by gc too",
  async () => {
    const { pair, podDevice } = await addPod("pod", vf(0), "10.0.0.2");
    const foreign = vf(1).rdmaDevice;
    await rdmaToNetns(foreign, "pod");
    const rename = async (from: string, to: string) =>
      void await shOk(`ip netns exec pod rdma dev set "$(printf '${from}')" name "$(printf '${to}')"`);
    const evil = (name: string) => `\\033[31m\\n${name}`; // for printf
    await rename(podDevice, evil("mine"));
    await rename(foreign, evil("foreign"));
    const table = await rdmaCni("pods");
    const found = await rdmaCni("gc");
    const { devices } = await pods();
    await rename(evil("mine"), podDevice);
    await rename(evil("foreign"), foreign);
    const [, row, ...others] = table.stdout.trimEnd().split("\n");
    assertEquals([table.code, others, table.stderr], [0, [], ""]);
    assertMatch(row!, / {2}\\u001b\[31m\\nmine\/1 {2}/);
    assertMatch(
      found.stderr,
      /^RDMA device \\u001b\[31m\\nforeign \(index \d+\) is in \/run\/netns\/pod, .*\nNo record is stale\n$/,
    );
    assertEquals(devices.map(({ device }) => device), ["\x1b[31m\nmine"]);
    assertQuiet(await pair.del());
  },
);

vmCase("pods: without the rights to enter a pod's namespace it says which", async () => {
  const { pair } = await addPod("pod", vf(0), "10.0.0.2");
  const drop = "setpriv --bounding-set -sys_admin --inh-caps -sys_admin";
  const { code, stdout, stderr } = await sh(`${drop} ${INSTALLED_PLUGIN} pods`);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /EPERM.*\n.*CAP_SYS_ADMIN/);
  assertQuiet(await pair.del());
});

vmCase("pods: a reader that has ended ends --watch", async () => {
  const watching = `timeout 20 ${INSTALLED_PLUGIN} pods -o json --watch 0.1; echo "exit $?" >&2`;
  const { stdout, stderr } = await sh(`{ ${watching}; } | head -n 1`);
  assertEquals([stdout, stderr], ["[]\n", "exit 0\n"]);
});
