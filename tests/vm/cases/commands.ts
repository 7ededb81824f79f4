// What people type on a real node; doctor and vf-mac have files of their own.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type CommandError, toCommandError } from "../../../src/cli/errors.ts";
import type { PodPort } from "../../../src/node/pods.ts";
import { SyscallError } from "../../../src/sys/errno.ts";
import {
  addNetns,
  assertCode,
  assertInPod,
  assertQuiet,
  assertResult,
  attachment,
  type CompleteFunction,
  config,
  deleteNetns,
  HOLD_CONTEXT,
  holdNetns,
  INSTALLED_PLUGIN,
  names,
  netdevToNetns,
  netnsMode,
  netnsPath,
  type Outcome,
  rdmaCni,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  records,
  setSimParameter,
  sh,
  shOk,
  startBackground,
  untilGid,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { killAtNth } from "../../rig/vm/guest/injection.ts";
import { LONG } from "../../rig/vm/guest/options.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import type { CaseFields } from "../../rig/vm/kernels.ts";

const SURROUNDINGS: CaseFields = { sets: ["surroundings"] };
const EVERYWHERE: CaseFields = { sets: ["surroundings", "newest", "oldest", "arm64"] };

vmCase("advice: without an RDMA subsystem all the modules that are named get loaded", async () => {
  const error = toCommandError(new SyscallError("open a netlink socket", 93)) as CommandError; // EPROTONOSUPPORT
  const [, command] = /\((modprobe [^)]*)\)/.exec(error.advice!)!;
  try {
    await shOk(command!.replace("modprobe", 'modprobe --dirname "$MODULES"'));
    const loaded = names("/sys/module");
    assertEquals(["ib_core", "mlx5_ib"].filter((name) => !loaded.includes(name)), []);
  } finally {
    await shOk("rmmod mlx5_ib mlx5_core");
  }
});

// netns-mode

const OPTIONS_FILE = "/etc/modprobe.d/rdma-cni.conf";

/** Runs a command on a node whose kernel command line sets no mode. */
async function elsewhere(words: string): Promise<Outcome> {
  Deno.writeTextFileSync("/tmp/cmdline", "quiet\n");
  const script = `mount --bind /tmp/cmdline /proc/cmdline && exec ${INSTALLED_PLUGIN} ${words}`;
  return await sh(`unshare --mount sh -c '${script}'`);
}

vmCase("netns-mode: set both ways, told by get and check as iproute2 tells it", async () => {
  for (const [mode, other] of [["shared", "exclusive"], ["exclusive", "shared"]] as const) {
    const { stdout, stderr } = await assertCode(0, rdmaCni(`netns-mode set ${mode}`));
    assertEquals([stdout, stderr], ["", `the RDMA namespace mode is now ${mode}, was ${other}\n`]);
    assertEquals(await netnsMode(), mode);
    assertEquals((await assertCode(0, rdmaCni("netns-mode get"))).stdout, `${mode}\n`);
    const checked = await assertCode(mode === "exclusive" ? 0 : 1, rdmaCni("netns-mode check"));
    if (mode === "shared") {
      assertEquals(checked.stdout, "failed: the RDMA namespace mode is shared, want exclusive\n");
    }
  }
}, EVERYWHERE);

vmCase("netns-mode: refused by other namespaces, each named with what keeps it", async () => {
  const inodes: Record<string, number> = {};
  for (const name of ["path", "process", "mounted", "hidden", "open"]) {
    await addNetns(name);
    inodes[name] = Deno.statSync(netnsPath(name)).ino!;
  }
  const holder = await holdNetns("path");
  const process = await holdNetns("process");
  await shOk("mkdir -p /run/docker/netns && touch /run/docker/netns/1a2b");
  await shOk("mount --bind /run/netns/mounted /run/docker/netns/1a2b");
  const hidden = await startBackground("exec unshare --mount sh -c 'echo in; exec sleep infinity'", "in");
  const open = await startBackground("exec 3</run/netns/open; echo in; exec sleep infinity", "in");
  for (const name of ["process", "mounted", "open"]) await shOk(`ip netns del ${name}`);
  await shOk("umount /run/netns/hidden"); // here alone: the mounts of that process are private
  try {
    const { stdout, stderr } = await assertCode(1, rdmaCni("netns-mode set shared"));
    assertEquals([stdout, await netnsMode()], ["", "exclusive"]);
    assertMatch(stderr, /^rdma: Cannot set .* to shared, it is exclusive: .*other than the host's exist\n/);
    assertMatch(stderr, /"rdma-cni netns-mode set shared --persist" and reboot/);
    for (
      const line of [
        `${inodes["path"]} at "/run/netns/path"\n    process ${holder.pid} "sleep infinity"\n`,
        `${inodes["process"]} without a path\n    process ${process.pid} "sleep infinity"\n`,
        `${inodes["mounted"]} at "/run/docker/netns/1a2b"\n`,
        `${inodes["hidden"]} at "/proc/${hidden.pid}/root/run/netns/hidden"\n`,
        `${inodes["open"]} without a path\n    process ${open.pid} "sleep infinity", has it open\n`,
      ]
    ) assert(stderr.includes(`  network namespace ${line}`), `${line}\n${stderr}`);
  } finally {
    await shOk("umount /run/docker/netns/1a2b");
  }
}, EVERYWHERE);

vmCase("netns-mode: persisted, and ib_core's module options are what modprobe then takes", async () => {
  try {
    const { stderr } = await assertCode(0, elsewhere("netns-mode set shared --persist"));
    assertMatch(stderr, /now shared, was exclusive\npersisted in "\/etc\/modprobe\.d\/rdma-cni\.conf"\n/);
    const { stdout: options } = await sh(`modprobe --showconfig | grep 'ib_core netns_mode'`);
    assertMatch(options, /^options ib_core netns_mode=1$/m);
    const before = Deno.statSync(OPTIONS_FILE).ino;
    const again = await assertCode(0, elsewhere("netns-mode set shared --persist"));
    assertMatch(again.stderr, /already shared\nalready persisted in /);
    assertEquals(Deno.statSync(OPTIONS_FILE).ino, before);
    const { persisted } = JSON.parse((await elsewhere("netns-mode get --json")).stdout);
    assertEquals(persisted, {
      mode: "shared",
      sources: [{ file: OPTIONS_FILE, line: 2, mode: "shared" }],
    });
    await assertCode(0, elsewhere("netns-mode set exclusive --persist"));
    assertMatch(Deno.readTextFileSync(OPTIONS_FILE), /^options ib_core netns_mode=0$/m);
  } finally {
    await shOk(`rm -f ${OPTIONS_FILE}`);
  }
}, SURROUNDINGS);

// pods

const { hasNamesPerNetns } = new VmRig();

/** A pod with an interface that has an address, and the attachment that gives it the function's RDMA device. */
async function addPodWithAddress(name: string, one: CompleteFunction, address: string) {
  const { deviceId, rdmaDevice } = one;
  await addNetns(name);
  await netdevToNetns(one.netdev, name, "net1");
  await shOk(`ip -n ${name} address add ${address}/24 dev net1`);
  await untilGid(rdmaDevice, gidOf(address));
  const pair = attachment(deviceId, {
    netns: name,
    containerId: `container-${name}`,
    args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=${name}-0`,
    config: config({ deviceID: deviceId, ...(hasNamesPerNetns ? { rdmaDeviceName: "mlx5_0" } : {}) }),
  });
  assertResult(await pair.add());
  const [device] = await rdmaDevices(name);
  return { ...one, name, address, pair, index: device!.index, podDevice: device!.name };
}

function gidOf(address: string): string {
  const [a, b, c, d] = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return `0000:0000:0000:0000:0000:ffff:${a}${b}:${c}${d}`;
}

interface PodDevice {
  pod: string;
  device: string;
  createdAt: string;
  resources: Record<string, number>;
  ports: PodPort[];
}

async function pods(): Promise<{ code: number; devices: PodDevice[]; stderr: string }> {
  const { code, stdout, stderr } = await rdmaCni("pods --json");
  return { code, devices: JSON.parse(stdout), stderr };
}

/** What iproute2 says of the counters of a pod's device. */
async function countersOf({ name, podDevice }: { name: string; podDevice: string }) {
  const [link] = JSON.parse(
    await shOk(`nsenter --net=${netnsPath(name)} rdma -j statistic show link ${podDevice}/1`),
  );
  const { ifindex: _, ifname: __, port: ___, ...counters } = link;
  return counters;
}

vmCase("pods: names, GIDs, counters, traffic and resources are those of each pod's device", async () => {
  const placed = [
    await addPodWithAddress("pod", vf(0), "10.0.0.2"),
    await addPodWithAddress("other", vf(1), "10.0.0.3"),
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
  for (const { name, address, deviceId, rdmaDevice, index, podDevice } of placed) {
    const found = devices.find(({ pod }) => pod === `${name}-0`)!;
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
}, { sets: ["surroundings", "newest"], limitMs: 150_000 });

// gc

/** Adds a virtual function to a pod, as a network's, under a name of its own there. */
async function addTo(netns: string, deviceId: string, name = "net"): Promise<ReturnType<typeof attachment>> {
  await addNetns(netns);
  const call = attachment(deviceId, {
    netns,
    containerId: netns,
    config: config({ name, deviceID: deviceId, rdmaDeviceName: `rdma_${netns}` }),
  });
  assertResult(await call.add());
  return call;
}

vmCase("gc: what pods that are gone have left is restored, and pods that live are not touched", async () => {
  const [first, second, third, fourth, foreign] = [vf(0), vf(1), vf(2), vf(3), vf(4)];
  await addTo("gone", first.deviceId);
  await addTo("other", second.deviceId, "net-2");
  const living = await addTo("living", third.deviceId);
  const held = await addTo("held", fourth.deviceId);
  await rdmaToNetns(foreign.rdmaDevice, "living");
  await deleteNetns("gone");
  await deleteNetns("other");
  const { pid } = await holdNetns("held");
  await shOk("ip netns del held");

  const before = records();
  const dry = await rdmaCni("gc --dry-run");
  assertEquals([dry.code, records()], [0, before], dry.stderr);
  assertMatch(
    dry.stdout,
    /^net-gone-net1: \/run\/netns\/gone has gone: the record of \S+ would be removed/m,
  );

  const one = JSON.parse((await rdmaCni("gc --network net --json")).stdout);
  assertEquals(one.records, [
    {
      file: "net-gone-net1",
      deviceID: first.deviceId,
      state: "restored",
      reason: "/run/netns/gone has gone",
    },
  ]);
  assertEquals(one.unexplainedDevices.map(({ name, netns }: Record<string, string>) => [name, netns]), [
    [foreign.rdmaDevice, "/run/netns/living"],
  ]);
  const all = await rdmaCni("gc");
  assertEquals(all.code, 0, all.stderr);
  assertEquals(records(), ["net-held-net1", "net-living-net1"]);
  const onHost = await rdmaNames();
  for (const { rdmaDevice } of [first, second]) assert(onHost.includes(rdmaDevice), rdmaDevice);
  await assertInPod(["rdma_living", foreign.rdmaDevice], "living");
  assertMatch(await shOk(`nsenter --net=/proc/${pid}/ns/net rdma dev`), /rdma_held/);
  assertMatch((await rdmaCni("gc")).stderr, /No record is stale/);
  for (const call of [living, held]) assertQuiet(await call.del());
});

/** A process that hands the namespace it is in to a child and ends, again and again. */
const RELAY = "/run/relay";

vmCase("gc: beside pods and metrics it leaves pods alone to which only processes lead", async () => {
  await Deno.writeTextFile(RELAY, `#!/bin/sh\nsleep 0.1\n${RELAY} </dev/null >/dev/null 2>&1 &\n`);
  await shOk(`chmod 755 ${RELAY}`);
  const pods = ["steady", "relayed"];
  const calls = [];
  for (const [number, name] of pods.entries()) calls.push(await addTo(name, vf(number).deviceId));
  const { pid } = await holdNetns("steady");
  await shOk(`nsenter --net=/run/netns/relayed ${RELAY}`);
  for (const name of pods) await shOk(`ip netns del ${name}`);
  const files = records();
  // The one that hops into pods' namespaces comes first, so it has the lower PID.
  const metrics = await startBackground(
    `exec ${INSTALLED_PLUGIN} pods -o prometheus --watch 0.1`,
    "rdma_read_errors 0",
  );
  const collector = await startBackground(
    `while :; do ${INSTALLED_PLUGIN} gc --json 2>&1; sleep 0.1; done`,
    '"records"',
  );
  await new Promise((resolve) => setTimeout(resolve, LONG ? 10_000 : 3000));
  for (const one of [collector, metrics]) {
    one.kill("SIGTERM");
    await one.status;
  }
  assertEquals(records(), files);
  const held = JSON.parse((await rdmaCni("pods --json")).stdout);
  assertEquals(
    held.map(({ device, state }: Record<string, string>) => [device, state]),
    [["rdma_relayed", "held"], ["rdma_steady", "held"]],
  );
  assertMatch(await shOk(`nsenter --net=/proc/${pid}/ns/net rdma dev`), /rdma_steady/);
  await shOk(`rm ${RELAY}`); // which ends the last of them
  for (const call of calls) assertQuiet(await call.del());
}, { limitMs: 5 * 60_000 });

vmCase("faults: gc is killed at a system call: the next gc makes it good", async () => {
  const [gone, other] = [vf(0), vf(1)];
  const living = await addTo("living", other.deviceId);
  let tried = 0;
  for (const name of LONG ? ["flock", "sendto", "rename", "unlink"] : ["unlink"]) {
    for (let ordinal = 1; LONG || ordinal <= 2; ordinal++) {
      await addTo("gone", gone.deviceId);
      await deleteNetns("gone");
      const { code, stderr } = await sh(
        `exec ${killAtNth(name, ordinal).join(" ")} ${INSTALLED_PLUGIN} gc`,
      );
      if (code !== 0) assertEquals(code, 137, stderr);
      const again = await rdmaCni("gc");
      const what = `${name} ${ordinal}: ${again.stderr}`;
      // What a killed holder of the lock leaves goes with the next one.
      const left = records().filter((file) => !file.startsWith("."));
      assertEquals([again.code, left], [0, ["net-living-net1"]], what);
      assert((await rdmaNames()).includes(gone.rdmaDevice), what);
      await assertInPod(["rdma_living"], "living");
      if (code === 0) break;
      tried++;
    }
  }
  assertQuiet(await living.del());
  assert(tried >= 2, `${tried} calls`);
  return { tried };
}, { limitMs: 20 * 60_000 });
