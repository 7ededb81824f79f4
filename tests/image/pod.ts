// The manifest's pod, run by podman in place of a cluster's kubelet.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import { fileURLToPath } from "node:url";
import { stubAtHand } from "../../deployment/build/runtime_stub.ts";
import { parseAll } from "../../src/cli/validate/source.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { start } from "../support/program.ts";
import { ProjectCopy } from "../support/project.ts";
import { IMAGE } from "./build.ts";
import type { Cases } from "./cases.ts";
import type { Engine } from "./engine.ts";

const MANIFEST = fileURLToPath(new URL("../../deployment/kubernetes/daemonset.yaml", import.meta.url));
const CONTAINER = "rdma-cni-pod-installed";

/** The commands of its probes, which podman does not run by itself. */
const { readinessProbe, livenessProbe } = (parseAll(Deno.readTextFileSync(MANIFEST)) as IDaemonSet[])[0]!
  .spec!
  .template.spec!.containers[0]!;
const [READINESS, LIVENESS] = [readinessProbe, livenessProbe].map((probe) => probe!.exec!.command!) as [
  string[],
  string[],
];

interface Pod {
  manifest: string;
  /** Stands for the node's directory of plugins. */
  directory: string;
}

/** Plays the manifest, and takes its pod down at the end. */
async function withPod(engine: Engine, work: (pod: Pod) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ dir: engine.directory });
  const pod = { directory, manifest: `${directory}.yaml` };
  const text = await Deno.readTextFile(MANIFEST);
  assertStringIncludes(text, `image: ${IMAGE}\n`);
  await Deno.writeTextFile(pod.manifest, text.replace("path: /opt/cni/bin\n", `path: ${directory}\n`));
  try {
    await play(engine, pod);
    await work(pod);
  } finally {
    await engine.run("podman", ["kube", "down", pod.manifest]);
  }
}

/** As a new version is rolled out, a pod that is there makes way first. */
async function play(engine: Engine, { manifest }: Pod): Promise<void> {
  await engine.run("podman", ["kube", "play", "--replace", "--network=host", manifest]);
}

/** One of a container's properties, by podman's name for it. */
async function ask(engine: Engine, property: string): Promise<string> {
  return (await engine.run("podman", ["inspect", `--format={{.State.${property}}}`, CONTAINER])).trim();
}

/** Whether the readiness probe and the liveness probe succeed. */
async function runProbes(engine: Engine): Promise<boolean[]> {
  const outcomes: boolean[] = [];
  for (const [program, ...args] of [READINESS, LIVENESS]) {
    const by = engine.command("podman", "exec", CONTAINER);
    outcomes.push((await start({ by, program: program!, args })).code === 0);
  }
  return outcomes;
}

async function installedVersion(directory: string): Promise<string> {
  return (await start({ program: `${directory}/rdma`, args: ["--version"] })).stdout;
}

/** Gives the image's name to one whose program is of another version. */
async function makeOtherVersion(engine: Engine, version: string): Promise<void> {
  const { root, container } = await engine.unpack(IMAGE, "amd64");
  using copy = new ProjectCopy();
  await Deno.writeTextFile(`${copy.project}/src/version.ts`, `export const VERSION = "${version}";\n`);
  const stub = await stubAtHand("x86_64");
  const { success, stderr, output } = await copy.build(stub === undefined ? {} : { DENORT_BIN: stub });
  assert(success, stderr);
  await Deno.copyFile(output, `${root}/rdma-cni`);
  await engine.run("buildah", ["manifest", "rm", IMAGE]);
  await engine.run("buildah", ["commit", "--quiet", container, IMAGE]);
}

export const podCases: Cases = {
  "the manifest's pod installs, waits, and ends by itself when it is told to": async (engine) => {
    let directory = "";
    await withPod(engine, async (pod) => {
      directory = pod.directory;
      assertEquals(await installedVersion(directory), `rdma-cni ${VERSION}\n`);
      assertEquals(await ask(engine, "Running"), "true");
      assertEquals(await runProbes(engine), [true, true]);
      await engine.run("podman", ["stop", "--time=60", CONTAINER]);
      assertEquals(await ask(engine, "ExitCode"), "0"); // 137 would be SIGKILL, after the 60 seconds
    });
    assertEquals(await installedVersion(directory), `rdma-cni ${VERSION}\n`);
  },

  "the manifest's pod is not ready when the Go plugin's installer copied over the plugin": (engine) =>
    withPod(engine, async ({ directory }) => {
      const launcher = await Deno.readFile(`${directory}/rdma`);
      const { mtime } = await Deno.stat(`${directory}/rdma`);
      await Deno.copyFile("/usr/bin/true", `${directory}/rdma`); // cp -f writes into the file that is there, too
      assertEquals(await runProbes(engine), [false, false]);
      await Deno.writeFile(`${directory}/rdma`, launcher);
      assertEquals(await runProbes(engine), [false, false]); // by its time alone
      await Deno.utime(`${directory}/rdma`, mtime!, mtime!);
      assertEquals(await runProbes(engine), [true, true]);
    }),

  "the manifest's pod replaces a plugin of another version": (engine) =>
    withPod(engine, async (pod) => {
      await makeOtherVersion(engine, "9.9.9");
      await play(engine, pod);
      assertEquals(await installedVersion(pod.directory), "rdma-cni 9.9.9\n");
      assertEquals(await ask(engine, "Running"), "true");
    }),
};
