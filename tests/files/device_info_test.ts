// The device information file of the network plumbing working group: what ADD writes into it, and where it does not.
import { POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";

const DIRECTORY = "/run/k8s.cni.cncf.io/devinfo/cni";
const PATH = `${DIRECTORY}/default-pod-net1`;
const TEMPORARY = ".default-pod-net1.tmp";
const CONFIG = { runtimeConfig: { CNIDeviceInfoFile: PATH } };

/** A node with /run and a link /var/run to it, and perhaps a file. */
class InfoNode extends TestNode {
  readonly path = (path = PATH) => `${this.kernel.root}${path}`;
  readonly text = (path = PATH) => Deno.readTextFileSync(this.path(path));
  readonly list = (path: string) => [...Deno.readDirSync(this.path(path))].map(({ name }) => name);

  constructor(text?: string) {
    super();
    Deno.mkdirSync(this.path(text === undefined ? "/run" : DIRECTORY), { recursive: true });
    Deno.mkdirSync(this.path("/var"));
    Deno.symlinkSync("../run", this.path("/var/run"));
    if (text !== undefined) Deno.writeTextFileSync(this.path(), text);
  }

  /** ADD must fail before the device moves. */
  async refuse(code: number, words: string): Promise<void> {
    this.kernel.onMove = () => {
      throw new Error("moved");
    };
    const { json } = await this.fail("ADD", code, { config: CONFIG });
    assertStringIncludes(`${json.msg} ${json.details}`, words);
    assertEquals(this.files(), []);
  }
}

Deno.test("a file that the runtime filled gets the device's name, and keeps all else", async () => {
  const text = `{"type":"pci","version":"1.1.0","more":18446744073709551615,"pci":` +
    `{"pci-address":"${VF}","rdma-device":"mlx5_9","x":1.0}}`;
  using node = new InfoNode(text);
  await node.succeed("ADD", { config: CONFIG });
  assertEquals([node.text(), node.list(DIRECTORY).length], [text.replace("mlx5_9", "mlx5_2"), 1]);
});

for (const spelling of [PATH, `/var${PATH}`, "/run/k8s.cni.cncf.io/devinfo/file"]) {
  Deno.test(`a file that is missing is made, in directories that are, for all to read, whatever the umask: ${spelling}`, async () => {
    using node = new InfoNode();
    node.kernel.onMove = () => void assertThrows(() => node.text(spelling), Deno.errors.NotFound);
    const before = Deno.umask(0o077);
    try {
      await node.succeed("ADD", { config: { runtimeConfig: { CNIDeviceInfoFile: spelling } } });
    } finally {
      assertEquals(Deno.umask(before), 0o077);
    }
    const pci = { "pci-address": VF, "rdma-device": "mlx5_2" };
    assertEquals(JSON.parse(node.text(spelling)), { type: "pci", version: "1.1.0", pci });
    const paths = ["/run/k8s.cni.cncf.io", spelling.replace(/\/[^/]*$/, ""), spelling];
    const modes = paths.map((path) => (Deno.statSync(node.path(path)).mode! & 0o777).toString(8));
    assertEquals(modes, ["755", "755", "444"]);
  });
}

Deno.test("the names are those that the devices have in the pod at the time, separated by commas", async () => {
  using node = new InfoNode();
  const devices = [node.device, node.kernel.addDevice(VF, 3)];
  await node.succeed("ADD");
  devices.forEach((device, i) => device.name = `roce${i}`);
  await node.succeed("ADD", { config: CONFIG });
  assertEquals(JSON.parse(node.text()).pci["rdma-device"], "roce0,roce1");
  await node.succeed("DEL");
  await node.succeed("ADD", { config: { ...CONFIG, rdmaDeviceName: "rdma_{ifname}_{index}" } });
  assertEquals(JSON.parse(node.text()).pci["rdma-device"], "rdma_net1_0,rdma_net1_1");
});

Deno.test("for an auxiliary device nothing is made, nor for who does not ask", async () => {
  using node = new InfoNode();
  await node.succeed("ADD", { config: { runtimeConfig: { CNIDeviceInfoFile: "" } } });
  node.kernel.addFunction("mlx5_core.sf.4");
  node.kernel.addDevice("mlx5_core.sf.4", 4);
  const { lines } = await node.succeed("ADD", { config: { ...CONFIG, deviceID: "mlx5_core.sf.4" } });
  assertStringIncludes(lines.join(""), 'level="debug" msg="Device information files are for PCI devices');
  assertEquals(node.list("/run"), []);
});

for (const text of ['{"type":"vdpa","version":"1.1.0","vdpa":{}}', "{}"]) {
  Deno.test(`${text} is left as it is`, async () => {
    using node = new InfoNode(text);
    await node.succeed("ADD", { config: CONFIG });
    assertEquals([node.text(), node.whereIs(node.device)], [text, POD]);
  });
}

for (
  const [text, words] of [
    ["", "Cannot read device information file"],
    ["[]", "it is not a JSON object"],
    ['{"type":"pci"}', `Cannot use device information file "${PATH}": "pci" is not an object`],
    ['{"type":"pci","pci":[]}', '"pci" is not an object'],
    [" ".repeat(64 * 1024) + "{}", "it is longer than 65536 bytes"],
  ] as const
) {
  Deno.test(`${JSON.stringify(text.slice(0, 30))} is code 5 before the device moves`, async () => {
    using node = new InfoNode(text);
    await node.refuse(5, words);
    assertEquals(node.text(), text);
  });
}

Deno.test("a directory in the file's place is code 5, and so is a node without /run", async () => {
  using node = new InfoNode();
  Deno.mkdirSync(node.path(), { recursive: true });
  await node.refuse(5, "it is not a regular file");
  Deno.removeSync(node.path("/run"), { recursive: true });
  await node.refuse(5, "Cannot open the directory of device information file");
});

for (const place of [PATH, DIRECTORY, "/run/k8s.cni.cncf.io"]) {
  Deno.test(`a symbolic link at ${place} is code 7, and nothing is written where it leads`, async () => {
    using node = new InfoNode();
    const target = node.path("/elsewhere");
    if (place === PATH) Deno.writeTextFileSync(target, "foreign");
    else Deno.mkdirSync(target);
    Deno.mkdirSync(node.path(place.replace(/\/[^/]+$/, "")), { recursive: true });
    Deno.symlinkSync(target, node.path(place));
    await node.refuse(7, "a symbolic link");
    if (place === PATH) assertEquals(Deno.readTextFileSync(target), "foreign");
    else assertEquals(node.list("/elsewhere"), []);
  });
}

Deno.test("when the file cannot be written, the device returns to the host", async () => {
  using node = new InfoNode();
  node.kernel.onMove = () => Deno.mkdirSync(node.path(`${DIRECTORY}/${TEMPORARY}/x`), { recursive: true });
  const { json } = await node.fail("ADD", 5, { config: CONFIG });
  assertStringIncludes(json.msg, `Cannot write device information file "${PATH}"`);
  node.assertForgotten();
});

Deno.test("DEL leaves the file to the runtime, and removes what a killed ADD left beside it", async () => {
  using node = new InfoNode();
  await node.succeed("ADD", { config: CONFIG });
  const text = node.text();
  Deno.writeTextFileSync(node.path(`${DIRECTORY}/${TEMPORARY}`), "half");
  await node.succeed("DEL", { config: CONFIG });
  assertEquals([node.list(DIRECTORY).length, node.text()], [1, text]);
});

Deno.test("DEL makes no directory, and follows no link", async () => {
  using node = new InfoNode();
  await node.succeed("DEL", { config: CONFIG });
  assertEquals(node.list("/run"), []);
  Deno.mkdirSync(node.path("/elsewhere/devinfo/cni"), { recursive: true });
  Deno.symlinkSync("../elsewhere", node.path("/run/k8s.cni.cncf.io"));
  const foreign = `/elsewhere/devinfo/cni/${TEMPORARY}`;
  Deno.writeTextFileSync(node.path(foreign), "foreign");
  await node.succeed("DEL", { config: CONFIG });
  assertEquals(node.text(foreign), "foreign");
});
