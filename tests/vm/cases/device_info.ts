// The device information file, as Multus hands it down: through the real libcni, by the capability.
import { assertEquals } from "../../support/assert.ts";
import {
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, addPod, libcni, names, sf, shOk, vmCase } from "../../rig/vm/guest/harness.ts";

const DIRECTORY = "/var/run/k8s.cni.cncf.io/devinfo/cni";
const PATH = `${DIRECTORY}/default-pod1-net1`;

function withFile(deviceId: string, path = PATH) {
  const runtimeConfig = { CNIDeviceInfoFile: path };
  return attachment(deviceId, { config: config({ deviceID: deviceId, runtimeConfig }) });
}

vmCase("device info: the file that Multus filled gets the device's name by way of libcni", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const info = {
    type: "pci",
    version: "1.1.0",
    pci: { "pci-address": deviceId, "pf-pci-address": "0000:01:00.0" },
  };
  Deno.mkdirSync(DIRECTORY, { recursive: true });
  Deno.writeTextFileSync(PATH, JSON.stringify(info), { mode: 0o444 });
  const plugins = [
    { type: "host-device", capabilities: { deviceID: true } },
    { type: "rdma", capabilities: { deviceID: true, CNIDeviceInfoFile: true } },
  ];
  const call = {
    conflist: { cniVersion: "1.0.0", name: "net", plugins },
    netns: "pod",
    capabilities: { deviceID: deviceId, CNIDeviceInfoFile: PATH },
  };
  assertResult(await libcni({ command: "add", ...call }));
  const { pci, ...others } = JSON.parse(Deno.readTextFileSync(PATH));
  assertEquals(others, { type: info.type, version: info.version });
  assertEquals(pci, { ...info.pci, "rdma-device": rdmaDevice });
  await assertInPod([rdmaDevice]);
  assertEquals((await libcni({ command: "del", ...call })).code, 0);
  assertNothingLeft();
});

vmCase("device info: a file that is missing is made, with its directories", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  assertResult(await withFile(deviceId).add());
  assertEquals(JSON.parse(Deno.readTextFileSync(PATH)), {
    type: "pci",
    version: "1.1.0",
    pci: { "pci-address": deviceId, "rdma-device": rdmaDevice },
  });
  assertEquals(await shOk(`stat -c '%a %U' ${DIRECTORY} ${PATH}`), "755 root\n444 root");
  assertQuiet(await withFile(deviceId).del());
  assertNothingLeft();
});

vmCase("device info: a scalable function has none", async () => {
  const { deviceId, rdmaDevice } = sf(0);
  await addNetns("pod");
  assertResult(await withFile(deviceId).add());
  await assertInPod([rdmaDevice]);
  assertEquals(names("/run/k8s.cni.cncf.io"), []);
  assertQuiet(await withFile(deviceId).del());
}, { needs: "auxiliaryBus" });

vmCase("device info: what leads elsewhere is code 7 before anything moves", async () => {
  const { deviceId } = await addPod();
  for (const path of ["/etc/passwd", `${DIRECTORY}/../../../passwd`, `${DIRECTORY}/`]) {
    assertError(
      await withFile(deviceId, path).add(),
      7,
      /runtimeConfig.CNIDeviceInfoFile: must be a file below/,
    );
    assertNothingLeft();
  }
  Deno.mkdirSync("/run/elsewhere/cni", { recursive: true });
  Deno.mkdirSync("/run/k8s.cni.cncf.io", { recursive: true });
  Deno.symlinkSync("/run/elsewhere", "/run/k8s.cni.cncf.io/devinfo");
  assertError(await withFile(deviceId).add(), 7, /default-pod1-net1": a symbolic link/);
  assertNothingLeft();
  assertEquals(await shOk("ls /run/elsewhere/cni"), "");
  assertQuiet(await withFile(deviceId).del());
});

vmCase("device info: a full directory is code 5, and the device returns to the host", async () => {
  const { deviceId } = await addPod();
  Deno.mkdirSync(DIRECTORY, { recursive: true });
  await shOk(`mount -t tmpfs -o size=4k,nr_inodes=2 full ${DIRECTORY} && echo full >${DIRECTORY}/other`);
  try {
    assertError(await withFile(deviceId).add(), 5, /Cannot write device information file.*no space left/);
    assertEquals(await shOk(`ls -A ${DIRECTORY}`), "other");
    assertNothingLeft();
  } finally {
    await shOk(`umount ${DIRECTORY}`);
  }
});
