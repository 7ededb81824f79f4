import { POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

/** A node whose virtual function has the devices mlx5_2, mlx5_3 and mlx5_4. */
function nodeOfThree(): TestNode {
  const node = new TestNode();
  node.kernel.addDevice(VF, 4);
  node.kernel.addDevice(VF, 3);
  return node;
}

function inPod({ kernel, pod }: TestNode): string[] {
  return kernel.devices.filter(({ space }) => space === pod).map(({ name }) => name).sort();
}

const SELECTIONS: [rdmaDevices: unknown, moved: string[]][] = [
  [undefined, ["mlx5_2", "mlx5_3", "mlx5_4"]],
  ["all", ["mlx5_2", "mlx5_3", "mlx5_4"]],
  ["first", ["mlx5_2"]],
  [[2], ["mlx5_3"]],
  [["mlx5_4"], ["mlx5_4"]],
  [[3, "mlx5_2"], ["mlx5_2", "mlx5_4"]],
  [[1, "mlx5_2"], ["mlx5_2"]],
];

for (const [rdmaDevices, moved] of SELECTIONS) {
  Deno.test(`rdmaDevices ${JSON.stringify(rdmaDevices)} moves ${moved}, and DEL restores them`, async () => {
    using node = nodeOfThree();
    const config = { rdmaDevices };
    await node.succeed("ADD", { config });
    assertEquals(inPod(node), moved);
    await node.succeed("CHECK", { config });
    await node.succeed("ADD", { config });
    assertEquals(inPod(node), moved);
    await node.succeed("DEL", { config });
    assertEquals([inPod(node), node.files()], [[], []]);
  });
}

for (const wanted of ["mlx5_9", 4]) {
  Deno.test(`${JSON.stringify(wanted)} among rdmaDevices is code 110 and moves nothing`, async () => {
    using node = nodeOfThree();
    const { json } = await node.fail("ADD", 110, { config: { rdmaDevices: [1, wanted] } });
    assertStringIncludes(json.msg, `${JSON.stringify(wanted)} among those of "${VF}"`);
    assertStringIncludes(json.msg, "it has 1: mlx5_2, 2: mlx5_3, 3: mlx5_4");
    assertEquals([inPod(node), node.files()], [[], []]);
  });
}

Deno.test("a device that a killed ADD left in the pod counts among the function's", async () => {
  using node = nodeOfThree();
  node.device.space = node.pod;
  await node.succeed("ADD", { config: { rdmaDevices: ["mlx5_2", 2] } });
  assertEquals(inPod(node), ["mlx5_2", "mlx5_3"]);
  const recorded = node.recorded().devices.map(({ hostName }) => hostName);
  assertEquals(recorded, ["mlx5_2", "mlx5_3"]);
});

Deno.test("another pod gets none of a function's devices, chosen or not", async () => {
  using node = nodeOfThree();
  await node.succeed("ADD", { config: { rdmaDevices: "first" } });
  node.kernel.addNetns(`${POD}2`);
  const variables = { CNI_CONTAINERID: "container2", CNI_NETNS: `${POD}2` };
  await node.fail("ADD", 111, { variables, config: { rdmaDevices: [2] } });
  assertEquals(inPod(node), ["mlx5_2"]);
});
