// The manifest's pod, run by podman in place of a cluster's kubelet.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import { fileURLToPath } from "node:url";
import { stubAtHand } from "../../deployment/build/runtime_stub.ts";
import { parseAll } from "../support/yaml.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { start } from "../support/program.ts";
import { ProjectCopy } from "../support/project.ts";
import { IMAGE } from "./build.ts";
import type { Cases } from "./cases.ts";
import type { Engine } from "./engine.ts";

const MANIFEST = fileURLToPath(new URL("../../deployment/kubernetes/daemonset.yaml", import.meta.url));
const CONTAINER = "rdma-cni-pod-installed";

/** The command of its liveness probe, which podman does not run by itself. */
const { livenessProbe } = (parseAll(Deno.readTextFileSync(MANIFEST)) as IDaemonSet[])[0]!.spec!.template.spec!
  .containers[0]!;
const PROBE = livenessProbe!.exec!.command!;

interface Pod {
  manifest: string;
  /** Stands for the node's directory of plugins. */
  directory: string;
}

/** Plays a manifest, the project's unless another is given, and takes its pod down at the end. */
export async function withPod(
  engine: Engine,
  work: (pod: Pod) => Promise<void>,
  text = Deno.readTextFileSync(MANIFEST),
): Promise<void> {
  const directory = await Deno.makeTempDir({ dir: engine.directory });
  const pod = { directory, manifest: `${directory}.yaml` };
  assertStringIncludes(text, `image: ${IMAGE}\n`);
  assertStringIncludes(text, "path: /opt/cni/bin\n");
  await Deno.writeTextFile(pod.manifest, text.replace("path: /opt/cni/bin\n", `path: ${directory}\n`));
  try {
    await play(engine, pod);
    await work(pod);
  } finally {
    await engine.run("podman", ["kube", "down", pod.manifest]);
  }
}

/** As a new version is rolled out, a pod that is there makes way first. */
export async function play(engine: Engine, { manifest }: Pod): Promise<void> {
  await engine.run("podman", ["kube", "play", "--replace", "--network=host", manifest]);
}

/** One of a container's properties, by podman's name for it. */
export async function ask(engine: Engine, property: string, container = CONTAINER): Promise<string> {
  return (await engine.run("podman", ["inspect", `--format={{.${property}}}`, container])).trim();
}

/** A line of podman's log: it warns that storage.conf names no driver. */
const WARNING = /^time=.* level=warning .*\n/gm;

/** What the liveness probe comes to: exit code, colon, output. */
async function runProbe(engine: Engine): Promise<string> {
  const [program, ...args] = PROBE;
  const by = engine.command("podman", "exec", CONTAINER);
  const { code, stdout, stderr } = await start({ by, program: program!, args });
  return `${code}: ${stdout}${stderr.replace(WARNING, "")}`;
}

/** That when all is as it should be. */
const ALIVE = "0: ok: /host/opt/cni/bin has this plugin and its library\n";

/**
 * Waits until the container has installed what was missing, and catatonit is its first process.
 *
 * @throws {Error} after a minute, with what is there instead
 */
export async function untilWaiting(engine: Engine, container = CONTAINER): Promise<void> {
  let found = "";
  for (let tries = 0; tries < 600; tries++) {
    const pid = await ask(engine, "State.Pid", container); // 0 when it does not run
    found = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "nothing");
    if (found === "catatonit\0-P\0") return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Waited in vain for catatonit, the first process is ${JSON.stringify(found)}`);
}

/** The version of the installed plugin; undefined if it is another one. */
export async function installedVersion(directory: string): Promise<string | undefined> {
  const { stdout } = await start({ program: `${directory}/rdma`, args: ["--version"] });
  return /^rdma-cni (\S+)$/m.exec(stdout)?.[1];
}

/** Gives the image's name to one whose program is of another version. */
async function makeOtherVersion(engine: Engine, version: string): Promise<void> {
  const { root, container } = await engine.unpack(IMAGE, "amd64");
  using copy = new ProjectCopy();
  const file = `${copy.project}/src/version.ts`;
  await Deno.writeTextFile(file, (await Deno.readTextFile(file)).replace(`"${VERSION}"`, `"${version}"`));
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
      assertEquals(await installedVersion(directory), VERSION);
      await untilWaiting(engine);
      assertEquals(await runProbe(engine), ALIVE);
      await engine.run("podman", ["stop", "--time=60", CONTAINER]);
      assertEquals(await ask(engine, "State.ExitCode"), "0"); // 137 would be SIGKILL, after the 60 seconds
    });
    assertEquals(await installedVersion(directory), VERSION);
  },

  "the manifest's pod sees that the Go plugin's installer copied over the plugin, and a restart installs again":
    (engine) =>
      withPod(engine, async ({ directory }) => {
        await untilWaiting(engine);
        assertEquals(await runProbe(engine), ALIVE);
        await Deno.copyFile("/usr/bin/true", `${directory}/rdma`); // cp -f writes into the file that is there, too
        assertEquals(
          await runProbe(engine),
          "1: failed: /host/opt/cni/bin/rdma has different content: install again\n",
        );
        // As kubelet does then, in the pod's grace period; SIGKILL after it would take longer.
        const begin = performance.now();
        await engine.run("podman", ["restart", "--time=60", CONTAINER]);
        await untilWaiting(engine);
        const seconds = (performance.now() - begin) / 1000;
        console.error(`image: restarted and installed again in ${seconds.toFixed(1)} s`);
        assert(seconds < 30, `${seconds} s`);
        assertEquals(await installedVersion(directory), VERSION);
        assertEquals(await runProbe(engine), ALIVE);
        const { stderr } = await start({ by: engine.command("podman", "logs"), program: CONTAINER });
        assertStringIncludes(stderr, "/host/opt/cni/bin/rdma: replaced\n");
      }),

  "the manifest's pod replaces a plugin of another version": (engine) =>
    withPod(engine, async (pod) => {
      await makeOtherVersion(engine, "9.9.9");
      await play(engine, pod);
      assertEquals(await installedVersion(pod.directory), "9.9.9");
      await untilWaiting(engine);
    }),
};
