// Which capabilities the plugin needs, and what it says without one.
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  gc,
  records,
} from "../../rig/vm/guest/attachment.ts";
import { addPod, netnsPath, plugin, shOk, startBackground, vf, vmCase } from "../../rig/vm/guest/harness.ts";

const NEEDED = ["net_admin", "sys_admin"];

/** Starts the plugin as root with these capabilities and no other. */
function withOnly(...capabilities: string[]): string[] {
  const set = ["-all", ...capabilities.map((name) => `+${name}`)].join();
  return ["setpriv", "--bounding-set", set, "--inh-caps", "-all"];
}

/** VF 0 for a pod "pod", by a configuration that all commands take. */
async function pod() {
  const { deviceId, rdmaDevice } = await addPod();
  const all = config({ cniVersion: "1.1.0", deviceID: deviceId, prevResult: {} });
  return { rdmaDevice, all, ...attachment(deviceId, { config: all }) };
}

vmCase("faults: CAP_NET_ADMIN and CAP_SYS_ADMIN are enough for all commands", async () => {
  const { add, check, del, all, rdmaDevice } = await pod();
  const wrapper = withOnly(...NEEDED);
  assertQuiet(await plugin({ command: "STATUS", config: all, wrapper }));
  assertResult(await add({ wrapper }));
  await assertInPod([rdmaDevice]);
  assertQuiet(await check({ wrapper }));
  assertQuiet(await del({ wrapper }));
  assertNothingLeft();
  assertResult(await add({ wrapper }));
  assertQuiet(await gc({ "cni.dev/valid-attachments": [] }, { wrapper }));
  assertNothingLeft();
});

vmCase("faults: without either of the two ADD and DEL name them, and lose nothing", async () => {
  const { add, check, del, rdmaDevice } = await pod();
  const words = /EPERM \(1\).*CAP_NET_ADMIN.*CAP_SYS_ADMIN|CAP_NET_ADMIN.*CAP_SYS_ADMIN.*EPERM \(1\)/;
  for (const missing of NEEDED) {
    const wrapper = withOnly(...NEEDED.filter((name) => name !== missing));
    assertError(await add({ wrapper }), 120, words);
    assertNothingLeft();
    assertResult(await add());
    assertError(await del({ wrapper }), 120, words);
    if (missing === "sys_admin") assertError(await check({ wrapper }), 120, words);
    await assertInPod([rdmaDevice]);
    assertEquals(records(), ["net-container1-net1"]);
    assertQuiet(await del());
    assertNothingLeft();
  }
});

for (
  const { keeper, command, more } of [
    {
      keeper: "a process of another user",
      command: `exec nsenter --net=${netnsPath("pod")} setpriv --reuid 1000 --clear-groups sh -c`,
      more: ["sys_ptrace"],
    },
    {
      keeper: "an open file of another user",
      command: `exec 9<${netnsPath("pod")}; exec setpriv --reuid 1000 --clear-groups sh -c`,
      more: ["sys_ptrace", "dac_read_search"],
    },
  ]
) {
  const names = more.map((name) => `CAP_${name.toUpperCase()}`).join(" and ");
  vmCase(`faults: a namespace without path that ${keeper} keeps is found with ${names}`, async () => {
    const { add, del, rdmaDevice } = await pod();
    assertResult(await add());
    await startBackground(`${command} "echo ready; exec sleep infinity"`, "ready");
    await shOk("ip netns del pod");
    const blind = await del({ wrapper: withOnly(...NEEDED, ...more.slice(1)) });
    assertQuiet(blind);
    assertMatch(blind.stderr, /level="warning".*is not in the host namespace.*record .* stays/);
    assertQuiet(await del({ wrapper: withOnly(...NEEDED, ...more) }));
    assertNothingLeft();
    assertEquals(vf(0).rdmaDevice, rdmaDevice);
  });
}
