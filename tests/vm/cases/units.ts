// The units of deployment/systemd, started by systemd with all their restrictions.
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
  addNetns,
  addPod,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  casesWith,
  config,
  DEPLOYMENT,
  holdNetns,
  INSTALLED_PLUGIN,
  netnsCount,
  netnsMode,
  rebind,
  records,
  setNetnsMode,
  setSimParameter,
  shOk,
  until,
  vf,
  withLauncher,
} from "../../rig/vm/guest/harness.ts";
import { POD_UID, PodCgroup, SYSTEMD_CGROUP } from "../../rig/vm/guest/pod_cgroup.ts";
import { withSystemd } from "../../rig/vm/guest/systemd.ts";
import { list, makeRandom, vfMacCase } from "../../rig/vm/guest/vf_addresses.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const SETTINGS = "/etc/rdma-cni.conf";

vmCase("units: rdma-cni-netns-mode.service sets the mode", async () => {
  await setNetnsMode("shared");
  await withSystemd((start) => start("rdma-cni-netns-mode.service"));
  assertEquals(await netnsMode(), "exclusive");
});

vfMacCase("rdma-cni-vf-mac.service gives a function an address, and leaves that of a pod alone", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const pod = attachment(deviceId);
  assertResult(await pod.add());
  await makeRandom(2);
  const isReady = async () => (await list())[2]!.ready;
  assertEquals(await isReady(), false);
  await withSystemd((start) => start("rdma-cni-vf-mac.service"));
  assertEquals(await isReady(), true);
  await assertInPod([rdmaDevice]);
  assertQuiet(await pod.del());
});

vmCase("units: rdma-cni-agent.service does calls and serves metrics", async () => {
  setSimParameter("kernel_verbs", true); // for ToS
  rebind(vf(0).deviceId);
  const { deviceId: deviceID } = vf(0);
  await Deno.writeTextFile(SETTINGS, "AGENT_OPTIONS=--metrics 127.0.0.1:9567\n");
  await using cgroup = await PodCgroup.create(SYSTEMD_CGROUP);
  await withLauncher(() =>
    withSystemd(async (start) => {
      await start("rdma-cni-agent.service");
      const check = () => shOk(`${INSTALLED_PLUGIN} agent --check --json`);
      await until("the agent answers", () => check().then(() => true, () => false));

      await addNetns("pod");
      const pod = attachment(deviceID, {
        args: `IgnoreUnknown=1;K8S_POD_UID=${POD_UID}`,
        config: config({
          deviceID,
          rdmaDeviceName: "roce0",
          rdmaQoS: { tos: 104 },
          rdmaLimits: { hcaHandle: 1 },
          logFile: "/root/rdma-cni.log",
        }),
      });
      assertResult(await pod.add());
      await assertInPod(["roce0"]);
      assertEquals(cgroup.limits(), ["roce0 hca_handle=1 hca_object=max"]);
      const metrics = await (await fetch("http://127.0.0.1:9567/metrics")).text();
      assertMatch(metrics, /device="roce0"/);
      assertQuiet(await pod.del());
      assertNothingLeft();

      const { calls, declined, abandoned } = JSON.parse(await check());
      assertEquals({ calls, declined, abandoned }, { calls: 2, declined: 0, abandoned: 0 });
    })
  );
  await shOk(`rm ${SETTINGS} /root/rdma-cni.log`);
});

vmCase("units: the capabilities of rdma-cni-agent.service are enough to clean up", async () => {
  const unit = await Deno.readTextFile(`${DEPLOYMENT}/rdma-cni-agent.service`);
  const [, words] = /^CapabilityBoundingSet=(.*)$/m.exec(unit)!;
  const capabilities = words!.split(" ").map((word) => word.replace("CAP_", "+").toLowerCase()).join();
  for (const [number, netns] of ["gone", "held"].entries()) {
    await addNetns(netns);
    assertResult(await attachment(vf(number).deviceId, { netns, containerId: netns }).add());
  }
  await holdNetns("held");
  for (const netns of ["gone", "held"]) await shOk(`ip netns del ${netns}`);
  await until("one namespace is gone", () => netnsCount() === 2);
  // systemd is in a PID namespace of its own here, in which an agent removes nothing.
  await shOk(
    `setpriv --no-new-privs --bounding-set=-all,${capabilities} --inh-caps=-all ${INSTALLED_PLUGIN} gc`,
  );
  assertEquals(records(), ["net-held-net1"]);
});
