// The agent as the DaemonSet's component runs it.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { assertInPod, assertResult, attachment, config, records } from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  assertCode,
  casesWith,
  deleteNetns,
  INSTALLED_PLUGIN,
  installPlugin,
  rdmaNames,
  sh,
  shOk,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import {
  type Container,
  containerOf,
  daemonSetPod,
  runContainer,
  startContainer,
} from "../../rig/vm/guest/pod.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const remove = () => shOk(`rm -rf /opt/cni/bin/.rdma-cni ${INSTALLED_PLUGIN}`);

async function addTo(netns: string, number: number) {
  const { deviceId: deviceID } = vf(number);
  await addNetns(netns);
  const call = attachment(deviceID, {
    netns,
    containerId: netns,
    config: config({ deviceID, rdmaDeviceName: `rdma_${netns}` }),
  });
  assertResult(await call.add());
  return call;
}

/** The file of a namespace of a process. */
function namespaceOf(process: string | number, kind: string): string {
  return Deno.readLinkSync(`/proc/${process}/ns/${kind}`);
}

vmCase(
  "daemonset: the agent installs, enters the node, answers calls, cleans up and serves metrics",
  async () => {
    await addTo("gone", 0);
    await deleteNetns("gone");
    await remove();
    try {
      const pod = await daemonSetPod(["agent"]);
      const container = containerOf(pod, "agent");
      await assertCode(0, runContainer(pod, containerOf(pod, "install")));
      const probe = async ({ readinessProbe, ...rest }: Container) =>
        (await runContainer(pod, { ...rest, command: readinessProbe!.exec.command, args: [] })).code;
      assertEquals(await probe(container), 1);
      const { stderr } = await assertCode(1, runContainer({ ...pod, hostPID: false }, container));
      assertMatch(stderr, /hostPID: true/);

      const args = [...container.args, "--metrics", "[127.0.0.1]:9567"];
      const agent = await startContainer(pod, { ...container, args }, "serves on");
      assertEquals(await probe(container), 0);
      await until("what the lost DEL has left is gone", () => records().length === 0);
      assert((await rdmaNames()).includes(vf(0).rdmaDevice));

      const state = async () => JSON.parse(await shOk(`${INSTALLED_PLUGIN} agent --check --json`));
      const { pid } = await state();
      for (const kind of ["mnt", "net", "pid"]) assertEquals(namespaceOf(pid, kind), namespaceOf(1, kind));
      assertMatch(Deno.readLinkSync(`/proc/${pid}/exe`), /^\/opt\/cni\/bin\/\.rdma-cni\/rdma-cni-/);

      const living = await addTo("living", 1);
      await assertInPod(["rdma_living"], "living");
      const metrics = await (await fetch("http://127.0.0.1:9567/metrics")).text();
      assertMatch(metrics, /^rdma_port_receive_bytes_total\{.*device="rdma_living".*\} \d+$/m);
      await assertCode(0, living.del());
      assertEquals((await state()).calls, 2);

      Deno.kill(pid, "SIGTERM");
      assertEquals((await agent.status).code, 0);
      await assertCode(1, sh(`${INSTALLED_PLUGIN} agent --check`));
    } finally {
      await remove();
      await installPlugin();
    }
  },
);
