// The files of RoCE QoS in sysfs and configfs. What the kernel makes of them is for the virtual machine to tell.
import { RoceQosError } from "../../src/kernel/kernel.ts";
import { LinuxRoceQos } from "../../src/kernel/qos.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";
import { Root } from "./root.ts";

const TC = "/sys/class/infiniband/mlx5_3/tc";
const TRAFFIC_CLASS = `${TC}/1/traffic_class`;
const CONFIGFS = "/sys/kernel/config/rdma_cm";
const GROUP = `${CONFIGFS}/mlx5_3`;
const TOS = `${GROUP}/ports/1/default_roce_tos`;

Deno.test("a port's traffic class is the global one, or -1", () => {
  // As NVIDIA's mlx5 shows it.
  for (
    const [text, value] of [
      ["", -1],
      ["Global tclass=0\n", 0],
      ["Global tclass=106\ndst_ip=10.0.0.0/8,tclass=32\n", 106],
      ["src_ip=10.0.0.1,dst_ip=10.0.0.0/8,tclass=32\ndst_ip6=2001:0db8::,tclass=7\n", -1],
    ] as const
  ) {
    using root = new Root({ [TRAFFIC_CLASS]: text });
    assertEquals(new LinuxRoceQos(root.path).read("trafficClass", "mlx5_3"), [value], text);
  }
});

Deno.test("a value for each port is read and written, or one for all; a port without one stays as it is", () => {
  const paths = [1, 2].map((port) => `${GROUP}/ports/${port}/default_roce_tos`);
  using root = new Root(Object.fromEntries(paths.map((path, i) => [path, `${i + 1}\n`])));
  const qos = new LinuxRoceQos(root.path);
  assertEquals(qos.read("tos", "mlx5_3"), [1, 2]);
  for (
    const [values, wanted] of [[[104, 105], ["104", "105"]], [7, ["7", "7"]], [[9], ["9", "7"]]] as const
  ) {
    qos.write("tos", "mlx5_3", values);
    assertEquals(paths.map((path) => root.read(path)), [...wanted]);
  }
});

for (
  const [what, setting, files, words, advice] of [
    ["a driver without traffic class", "trafficClass", {}, "Cannot read the traffic class of", "MLNX_OFED"],
    ["a strange line", "trafficClass", { [TRAFFIC_CLASS]: "=1\nmystery\n" }, '"=1\\nmystery"', "kernel log"],
    ["a missing file of a port", "trafficClass", { [`${TC}/1/other`]: "" }, "traffic_class", "MLNX_OFED"],
    ["a missing rdma_cm", "tos", { "/sys/kernel/config/other": "" }, GROUP, "modprobe rdma_cm"],
    ["a ToS that is no number", "tos", { [TOS]: "high\n" }, 'reads "high"', "kernel log"],
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

Deno.test("a group that was made to read goes again, one that was there stays until it is removed", () => {
  using root = new Root({ [`${CONFIGFS}/mlx5_4/ports/1/default_roce_tos`]: "0\n" });
  const qos = new LinuxRoceQos(root.path);
  assertThrows(() => qos.read("tos", "mlx5_3"), RoceQosError); // here no kernel fills the group
  qos.read("tos", "mlx5_4");
  Deno.mkdirSync(`${root.path}${CONFIGFS}/mlx5_5`);
  const found = () => ["mlx5_3", "mlx5_4", "mlx5_5"].map((name) => qos.hasGroup(name));
  assertEquals(found(), [false, true, true]);
  for (let time = 0; time < 2; time++) qos.removeGroup("mlx5_5");
  assertEquals(found(), [false, true, false]);
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
