// The examples fit each other, the plugin and those who read them.
import type { IConfigMap, IPod } from "kubernetes-models/v1";
import * as z from "zod/mini";
import { pluginsOf } from "../../src/cli/validate/network.ts";
import { judgeFiles } from "../../src/cli/validate/validate.ts";
import { exists } from "../../src/kernel/sysfs.ts";
import { run, runApt } from "../rig/vm/node/packages.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { MANIFEST_FILES, type NetworkAttachmentDefinition, readManifests } from "../support/manifests.ts";
import { filesIn, PROJECT } from "../support/project.ts";

const RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName";
const NETWORKS = "k8s.v1.cni.cncf.io/networks";

const manifests = MANIFEST_FILES.filter((path) => path.startsWith("examples/")).flatMap(readManifests)
  .map(({ manifest }) => manifest);
const ofKind = <T>(kind: string) => manifests.filter((one) => one.kind === kind) as T[];
const networks = ofKind<NetworkAttachmentDefinition>("NetworkAttachmentDefinition");
const configMaps = ofKind<IConfigMap>("ConfigMap");
const pods = ofKind<IPod>("Pod");

/** The configuration of sriov-network-device-plugin: pkg/types/types.go, ResourceConfig and the selectors. */
const names = z.array(z.string()).check(z.minLength(1));
const ids = z.array(z.string().check(z.regex(/^[0-9a-f]{4}$/)));
const selectors = {
  vendors: z.optional(ids),
  devices: z.optional(ids),
  drivers: z.optional(names),
  pfNames: z.optional(names),
  rootDevices: z.optional(names),
  linkTypes: z.optional(z.array(z.enum(["ether", "infiniband"]))),
  isRdma: z.literal(true), // without it the pod gets no /dev/infiniband
};
const auxiliary = { ...selectors, auxTypes: z.array(z.literal("sf")) };
const resource = {
  resourcePrefix: z.string().check(z.regex(/^[a-z.]+$/)),
  resourceName: z.string().check(z.regex(/^\w+$/)),
};
const devicePluginConfig = z.strictObject({
  resourceList: z.array(z.union([
    z.strictObject({ ...resource, selectors: z.strictObject(selectors) }),
    z.strictObject({
      ...resource,
      deviceType: z.literal("auxNetDevice"),
      selectors: z.strictObject(auxiliary),
    }),
  ])),
});

function resourcesOf({ data }: IConfigMap): string[] {
  const config = devicePluginConfig.parse(JSON.parse(data!["config.json"]!));
  return config.resourceList.map(({ resourcePrefix, resourceName }) => `${resourcePrefix}/${resourceName}`);
}

async function assertFaultless(text: string): Promise<void> {
  const { findings: verdicts } = await judgeFiles([{ file: "example", text }]);
  assertEquals(verdicts.map(({ level }) => level), ["ok"], JSON.stringify(verdicts));
  assert(verdicts[0]!.network !== undefined, "no network was seen");
}

for (const network of networks) {
  const { metadata, spec } = network;
  Deno.test(`validate finds no fault with network ${metadata.name}, in which one plugin moves the RDMA device`, async () => {
    await assertFaultless(JSON.stringify(network));
    const config = JSON.parse(spec.config);
    const { type, rdmaIsolation = false } = pluginsOf(config).at(-1)!.plugin;
    const wanted = metadata.name === "ib-rdma-net" ? ["ib-sriov", true] : ["rdma", false];
    assertEquals([config.name, type, rdmaIsolation], [metadata.name, ...wanted]);
  });

  Deno.test(`network ${metadata.name} names a resource that an example of the device plugin makes, if it needs one`, () => {
    const wanted = metadata.annotations?.[RESOURCE_NAME];
    // The function of a network that is a single plugin comes from its runtime.
    if (/softRoCE|delegate/.test(spec.config)) assertEquals(wanted, undefined);
    else assert(configMaps.flatMap(resourcesOf).includes(wanted!), wanted);
  });
}

for (const path of filesIn("examples", ".conflist")) {
  Deno.test(`validate finds no fault with ${path}, in which the plugin is last`, async () => {
    const text = Deno.readTextFileSync(`${PROJECT}${path}`);
    await assertFaultless(text);
    assertEquals(JSON.parse(text).plugins.at(-1).type, "rdma");
  });
}

for (const { metadata, spec } of pods) {
  Deno.test(`pod ${metadata!.name} asks for the resources of its networks, with addresses of its own`, () => {
    const wanted: { name: string; ips: string[] }[] = JSON.parse(metadata!.annotations![NETWORKS]!);
    assertEquals(wanted.length, 1);
    const [{ name, ips }] = wanted as [typeof wanted[0]];
    const network = networks.find((one) => one.metadata.name === name);
    const resource = network!.metadata.annotations![RESOURCE_NAME]!;
    const users = pods.filter((pod) => pod.metadata!.annotations![NETWORKS]!.includes(ips[0]!));
    assertEquals(users.map((pod) => pod.metadata!.name), [metadata!.name]);
    for (const { resources, securityContext } of spec!.containers) {
      assertEquals(resources, { requests: { [resource]: "1" }, limits: { [resource]: "1" } });
      assertEquals(securityContext, { capabilities: { add: ["IPC_LOCK"] } });
    }
    // With 0 the API server forgets the pod before its node has ended it, and has run DEL.
    const { terminationGracePeriodSeconds: seconds = 30 } = spec!;
    assert(seconds >= 1, `${seconds}`);
  });
}

Deno.test("there are networks, resources and pods", () => {
  assertEquals([networks, configMaps, pods].map((list) => list.length), [5, 3, 2]);
});

Deno.test("Debian has the packages of the test pods' image", async () => {
  const text = Deno.readTextFileSync(`${PROJECT}examples/perftest/Dockerfile`);
  const packages = /apt-get install(?: --\S+)* (.*?) \\$/m.exec(text)![1]!.split(" ");
  assert(packages.includes("perftest"));
  // Of several it fails only when it knows none.
  const show = () => Promise.all(packages.map((name) => run("apt-cache", ["show", name])));
  await show().catch(() => runApt(["update"], console.error).then(show)); // the lists may never have been fetched here
});

Deno.test("examples/README.md names every example, and nothing that is not there", () => {
  const text = Deno.readTextFileSync(`${PROJECT}examples/README.md`);
  const linked = Array.from(text.matchAll(/\]\(([^)#:]+)\)/g), ([, path]) => path!);
  assertEquals(linked.filter((path) => !exists(`${PROJECT}examples/${path}`)), []);
  const examples = filesIn("examples", "").map((path) => path.replace(/^examples\//, ""));
  assertEquals(examples.filter((path) => path !== "README.md" && !linked.includes(path)), []);
});
