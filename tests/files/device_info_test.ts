// The device information file of the network plumbing working group: what ADD writes into it, and where it does not.
import { POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const DIRECTORY = "/run/k8s.cni.cncf.io/devinfo/cni";
const PATH = `${DIRECTORY}/default-pod-net1`;
const CONFIG = { runtimeConfig: { CNIDeviceInfoFile: PATH } };

/** A node with /run and a link /var/run to it. */
class InfoNode extends TestNode {
  constructor(text?: string) {
    super();
    Deno.mkdirSync(`${this.kernel.root}${text === undefined ? "/run" : DIRECTORY}`, { recursive: true });
    Deno.mkdirSync(`${this.kernel.root}/var`);
    Deno.symlinkSync("../run", `${this.kernel.root}/var/run`);
    if (text !== undefined) Deno.writeTextFileSync(this.path(), text);
  }

  path(path = PATH): string {
    return `${this.kernel.root}${path}`;
  }

  text(path = PATH): string {
    return Deno.readTextFileSync(this.path(path));
  }

  /** ADD must fail before the device moves, with the file as it was. */
  async refuse(code: number, words: string, config: object = CONFIG): Promise<void> {
    this.kernel.onMove = () => {
      throw new Error("moved");
    };
    const { json } = await this.fail("ADD", code, { config });
    assertStringIncludes(`${json.msg} ${json.details}`, words);
    assertEquals(this.files(), []);
  }
}

Deno.test("a file that the runtime filled gets the device's name, and keeps all else", async () => {
  const text = `{"type":"pci","version":"1.1.0","more":18446744073709551615,"pci":` +
    `{"pci-address":"${VF}","rdma-device":"mlx5_9","x":1.0}}`;
  using node = new InfoNode(text);
  await node.succeed("ADD", { config: CONFIG });
  assertEquals(node.text(), text.replace("mlx5_9", "mlx5_2"));
  assertEquals(Deno.statSync(node.path()).mode! & 0o777, 0o444);
  assertEquals([...Deno.readDirSync(node.path(DIRECTORY))].length, 1);
});

Deno.test("all can read the file and enter its directories, also under a runtime whose umask forbids that", async () => {
  using node = new InfoNode();
  const before = Deno.umask(0o077);
  try {
    await node.succeed("ADD", { config: CONFIG });
  } finally {
    Deno.umask(before);
  }
  const modes = ["/run/k8s.cni.cncf.io", DIRECTORY, PATH].map((path) => Deno.statSync(node.path(path)).mode!);
  assertEquals(modes.map((mode) => (mode & 0o777).toString(8)), ["755", "755", "444"]);
  assertEquals(Deno.umask(), before);
});

for (const spelling of [PATH, `/var${PATH}`, "/run/k8s.cni.cncf.io/devinfo/file"]) {
  Deno.test(`a file that is missing is made, in directories that are: ${spelling}`, async () => {
    using node = new InfoNode();
    await node.succeed("ADD", { config: { runtimeConfig: { CNIDeviceInfoFile: spelling } } });
    assertEquals(JSON.parse(node.text(spelling)), {
      type: "pci",
      version: "1.1.0",
      pci: { "pci-address": VF, "rdma-device": "mlx5_2" },
    });
  });
}

Deno.test("several devices are separated by commas", async () => {
  using node = new InfoNode();
  node.kernel.addDevice(VF, 3);
  await node.succeed("ADD", { config: CONFIG });
  assertEquals(JSON.parse(node.text()).pci["rdma-device"], "mlx5_2,mlx5_3");
});

Deno.test("the name is that which the device has in the pod", async () => {
  using node = new InfoNode();
  await node.succeed("ADD", { config: { ...CONFIG, rdmaDeviceName: "rdma_{ifname}" } });
  assertEquals(JSON.parse(node.text()).pci["rdma-device"], "rdma_net1");
});

Deno.test("an ADD that is repeated writes the name of the time", async () => {
  using node = new InfoNode();
  await node.succeed("ADD");
  node.device.name = "roce0";
  await node.succeed("ADD", { config: CONFIG });
  assertEquals(JSON.parse(node.text()).pci["rdma-device"], "roce0");
});

Deno.test("it is written once the device is in the pod", async () => {
  using node = new InfoNode();
  node.kernel.onMove = () => assertEquals([...Deno.readDirSync(node.path(DIRECTORY))], []);
  await node.succeed("ADD", { config: CONFIG });
  node.text();
});

Deno.test("for an auxiliary device nothing is made", async () => {
  using node = new InfoNode();
  node.kernel.addFunction("mlx5_core.sf.4");
  node.kernel.addDevice("mlx5_core.sf.4", 4);
  const { lines } = await node.succeed("ADD", { config: { ...CONFIG, deviceID: "mlx5_core.sf.4" } });
  assertStringIncludes(lines.join(""), 'level="debug" msg="Device information files are for PCI devices');
  assertEquals([...Deno.readDirSync(node.path("/run"))], []);
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

Deno.test("a directory in the file's place is code 5", async () => {
  using node = new InfoNode();
  Deno.mkdirSync(node.path(), { recursive: true });
  await node.refuse(5, "it is not a regular file");
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
    const found = place === PATH ? Deno.readTextFileSync(target) : [...Deno.readDirSync(target)];
    assertEquals(found, place === PATH ? "foreign" : []);
  });
}

Deno.test("without /run it is code 5", async () => {
  using node = new InfoNode();
  Deno.removeSync(node.path("/run"));
  await node.refuse(5, "Cannot open the directory of device information file");
});

Deno.test("when the file cannot be written, the device returns to the host", async () => {
  using node = new InfoNode();
  node.kernel.onMove = () =>
    Deno.mkdirSync(node.path(`${DIRECTORY}/.default-pod-net1.tmp/x`), { recursive: true });
  const { json } = await node.fail("ADD", 5, { config: CONFIG });
  assertStringIncludes(json.msg, `Cannot write device information file "${PATH}"`);
  node.assertForgotten();
});

Deno.test("who does not ask gets no file", async () => {
  using node = new InfoNode();
  await node.succeed("ADD", { config: { runtimeConfig: { CNIDeviceInfoFile: "" } } });
  assertEquals([...Deno.readDirSync(node.path("/run"))], []);
});

Deno.test("DEL leaves the file to the runtime, and removes what a killed ADD left beside it", async () => {
  using node = new InfoNode();
  await node.succeed("ADD", { config: CONFIG });
  const text = node.text();
  Deno.writeTextFileSync(node.path(`${DIRECTORY}/.default-pod-net1.tmp`), "half");
  await node.succeed("DEL", { config: CONFIG });
  assertEquals([...Deno.readDirSync(node.path(DIRECTORY))].length, 1);
  assertEquals(node.text(), text);
});

Deno.test("DEL makes no directory, and follows no link", async () => {
  using node = new InfoNode();
  await node.succeed("DEL", { config: CONFIG });
  assertEquals([...Deno.readDirSync(node.path("/run"))], []);
  Deno.mkdirSync(node.path("/elsewhere/devinfo/cni"), { recursive: true });
  Deno.symlinkSync("../elsewhere", node.path("/run/k8s.cni.cncf.io"));
  Deno.writeTextFileSync(node.path("/elsewhere/devinfo/cni/.default-pod-net1.tmp"), "foreign");
  await node.succeed("DEL", { config: CONFIG });
  assertEquals(node.text("/elsewhere/devinfo/cni/.default-pod-net1.tmp"), "foreign");
});
