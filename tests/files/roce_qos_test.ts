// The files of RoCE QoS in sysfs and configfs. What the kernel makes of them is for the virtual machine to tell.
import { RoceQosError } from "../../src/kernel/kernel.ts";
import { LinuxRoceQos } from "../../src/kernel/qos.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";
import { Root } from "./root.ts";

const TC = "/sys/class/infiniband/mlx5_3/tc";
const GROUP = "/sys/kernel/config/rdma_cm/mlx5_3";

/** As NVIDIA's mlx5 shows its traffic class. */
const TRAFFIC_CLASSES: [text: string, value: number][] = [
  ["", -1],
  ["Global tclass=0\n", 0],
  ["Global tclass=106\n", 106],
  ["Global tclass=106\ndst_ip=10.0.0.0/8,tclass=32\n", 106],
  ["src_ip=10.0.0.1,dst_ip=10.0.0.0/8,tclass=32\ndst_ip6=2001:0db8::,tclass=7\n", -1],
];

for (const [text, value] of TRAFFIC_CLASSES) {
  Deno.test(`traffic_class ${JSON.stringify(text)} is ${value}`, () => {
    using root = new Root({ [`${TC}/1/traffic_class`]: text });
    assertEquals(new LinuxRoceQos(root.path).read("trafficClass", "mlx5_3"), [value]);
  });
}

Deno.test("a value for each port is read and written, or one for all", () => {
  const files = [1, 2].map((
    port,
  ): [string, string] => [`${GROUP}/ports/${port}/default_roce_tos`, `${port}\n`]);
  using root = new Root(Object.fromEntries(files));
  const qos = new LinuxRoceQos(root.path);
  assertEquals(qos.read("tos", "mlx5_3"), [1, 2]);
  qos.write("tos", "mlx5_3", [104, 105]);
  assertEquals(files.map(([path]) => root.read(path)), ["104", "105"]);
  qos.write("tos", "mlx5_3", 7);
  assertEquals(files.map(([path]) => root.read(path)), ["7", "7"]);
});

Deno.test("a port that has no recorded value stays as it is", () => {
  using root = new Root({ [`${TC}/1/traffic_class`]: "", [`${TC}/2/traffic_class`]: "5" });
  new LinuxRoceQos(root.path).write("trafficClass", "mlx5_3", [-1]);
  assertEquals([1, 2].map((port) => root.read(`${TC}/${port}/traffic_class`)), ["-1", "5"]);
});

for (
  const { what, files, setting, words, advice } of [
    {
      what: "a driver without traffic class",
      files: { "/sys/class/infiniband/mlx5_3/node_guid": "" },
      setting: "trafficClass",
      words: `Cannot read the traffic class of RDMA device "mlx5_3": "`,
      advice: "MLNX_OFED",
    },
    {
      what: "a text that is no traffic class",
      files: { [`${TC}/1/traffic_class`]: "Global tclass=1\nmystery\n" },
      setting: "trafficClass",
      words: 'traffic_class" reads "Global tclass=1\\nmystery"',
      advice: "kernel log",
    },
    {
      what: "a missing file of a port",
      files: { [`${TC}/1/other`]: "" },
      setting: "trafficClass",
      words: "traffic_class",
      advice: "MLNX_OFED",
    },
    {
      what: "a missing rdma_cm",
      files: { "/sys/kernel/config/other": "" },
      setting: "tos",
      words: GROUP,
      advice: "modprobe rdma_cm",
    },
    {
      what: "a ToS that is no number",
      files: { [`${GROUP}/ports/1/default_roce_tos`]: "high\n" },
      setting: "tos",
      words: 'reads "high"',
      advice: "kernel log",
    },
  ] as const
) {
  Deno.test(`${what} is told with the path and what to do`, () => {
    using root = new Root(files);
    const qos = new LinuxRoceQos(root.path);
    const error = assertThrows(() => qos.read(setting, "mlx5_3"), RoceQosError, 'RDMA device "mlx5_3"');
    assertStringIncludes(error.message, words);
    assertStringIncludes(error.advice, advice);
  });
}

Deno.test("a file that is not there is not made by writing", () => {
  using root = new Root({ [`${TC}/1/other`]: "" });
  const write = () => new LinuxRoceQos(root.path).write("trafficClass", "mlx5_3", 106);
  const error = assertThrows(write, RoceQosError, 'Cannot set the traffic class of RDMA device "mlx5_3": ');
  assertStringIncludes(error.advice, "MLNX_OFED");
  assertEquals([...Deno.readDirSync(`${root.path}${TC}/1`)].map(({ name }) => name), ["other"]);
});

Deno.test("a group that was made goes again, one that was there stays", () => {
  using root = new Root({ "/sys/kernel/config/rdma_cm/mlx5_4/ports/1/default_roce_tos": "0\n" });
  const qos = new LinuxRoceQos(root.path);
  assertThrows(() => qos.read("tos", "mlx5_3"), RoceQosError); // here no kernel fills the group
  qos.read("tos", "mlx5_4");
  assertEquals(["mlx5_3", "mlx5_4"].map((name) => qos.hasGroup(name)), [false, true]);
});

Deno.test("a group is removed if it is there", () => {
  using root = new Root({});
  Deno.mkdirSync(`${root.path}${GROUP}`, { recursive: true });
  const qos = new LinuxRoceQos(root.path);
  for (let time = 0; time < 2; time++) qos.removeGroup("mlx5_3");
  assertEquals(qos.hasGroup("mlx5_3"), false);
});

Deno.test("a name that leads elsewhere is refused", () => {
  using root = new Root({
    "/class/other/tc/1/traffic_class": "",
    "/sys/kernel/config/other/ports/1/default_roce_tos": "",
  });
  const qos = new LinuxRoceQos(root.path);
  for (const name of ["../other", "..", ""]) {
    for (const setting of ["trafficClass", "tos"] as const) {
      assertThrows(() => qos.write(setting, name, 1), RoceQosError, "No device can have the name");
    }
  }
  Deno.mkdirSync(`${root.path}/sys/kernel/config/empty`);
  qos.removeGroup("../empty");
  assertEquals(Deno.statSync(`${root.path}/sys/kernel/config/empty`).isDirectory, true);
});
