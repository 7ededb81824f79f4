// The manifest's pod, run by podman in place of a cluster's kubelet.
import { fileURLToPath } from "node:url";
import { VERSION } from "../../src/version.ts";
import { assertEquals, assertStringIncludes } from "../assert.ts";
import { start } from "../binary/program.ts";
import { IMAGE } from "./build.ts";
import type { Engine } from "./engine.ts";
import type { Cases } from "./image_test.ts";

const MANIFEST = fileURLToPath(new URL("../../deployment/rdma-cni-daemonset.yaml", import.meta.url));
const CONTAINER = "rdma-cni-pod-installed";

/** Plays the manifest with a folder of the test's for the node's; returns that folder and the manifest. */
async function play(engine: Engine): Promise<{ folder: string; manifest: string }> {
  const folder = await Deno.makeTempDir({ dir: engine.folder });
  const manifest = `${folder}.yaml`;
  const text = await Deno.readTextFile(MANIFEST);
  assertStringIncludes(text, `image: ${IMAGE}\n`);
  await Deno.writeTextFile(manifest, text.replace("path: /opt/cni/bin\n", `path: ${folder}\n`));
  await replay(engine, manifest);
  return { folder, manifest };
}

async function replay(engine: Engine, manifest: string): Promise<void> {
  await engine.run("podman", ["kube", "play", "--network=host", manifest]);
}

/** One of a container's properties, by podman's name for it. */
async function ask(engine: Engine, property: string): Promise<string> {
  return (await engine.run("podman", ["inspect", `--format={{.State.${property}}}`, CONTAINER])).trim();
}

async function installedVersion(folder: string): Promise<string> {
  return (await start({ program: `${folder}/rdma`, args: ["--version"] })).stdout;
}

/** Gives the image's name to one whose program says that it is of another version, as long as this one's. */
async function makeOtherVersion(engine: Engine, version: string): Promise<void> {
  const { root, container } = await engine.unpack(IMAGE, "amd64");
  const program = `${root}/rdma-cni`;
  const found = new TextEncoder().encode(`VERSION = "${VERSION}"`);
  const bytes = await Deno.readFile(program);
  const at = new TextDecoder("latin1").decode(bytes).indexOf(`VERSION = "${VERSION}"`);
  assertEquals(at > 0, true);
  bytes.set(new TextEncoder().encode(`VERSION = "${version}"`), at);
  assertEquals(found.length, `VERSION = "${version}"`.length);
  await Deno.writeFile(program, bytes);
  await engine.run("buildah", ["manifest", "rm", IMAGE]);
  await engine.run("buildah", ["commit", "--quiet", container, IMAGE]);
}

export const podCases: Cases = {
  "the manifest's pod installs, waits, and ends by itself when it is told to": async (engine) => {
    const { folder, manifest } = await play(engine);
    assertEquals(await installedVersion(folder), `rdma-cni ${VERSION}\n`);
    assertEquals(await ask(engine, "Running"), "true");
    await engine.run("podman", ["exec", CONTAINER, "/rdma-cni", "install", "--check"]); // its readiness probe

    await engine.run("podman", ["stop", "--time=60", CONTAINER]);
    assertEquals(await ask(engine, "ExitCode"), "0"); // 137 would be SIGKILL, after the 60 seconds
    await engine.run("podman", ["kube", "down", manifest]);
    assertEquals(await installedVersion(folder), `rdma-cni ${VERSION}\n`);
  },

  "the manifest's pod replaces a plugin of another version": async (engine) => {
    const { folder, manifest } = await play(engine);
    await engine.run("podman", ["kube", "down", manifest]);
    await makeOtherVersion(engine, "9.9.9");
    await replay(engine, manifest);
    assertEquals(await installedVersion(folder), "rdma-cni 9.9.9\n");
    assertEquals(await ask(engine, "Running"), "true");
    await engine.run("podman", ["kube", "down", manifest]);
  },
};
