// The manifest's pod, run by podman in place of a cluster's kubelet.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import { Buffer } from "node:buffer";
import { parseAll } from "../support/yaml.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";
import { IMAGE } from "./build.ts";
import type { Cases, Engine } from "./engine.ts";

const MANIFEST = `${PROJECT}deployment/kubernetes/daemonset.yaml`;
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

/** Gives the image's name to one with another program, which it returns: a byte that nobody reads differs (EI_PAD). */
async function makeOther(engine: Engine): Promise<Uint8Array> {
  const { root, container } = await engine.unpack(IMAGE, "amd64");
  const program = await Deno.readFile(`${root}/rdma-cni`);
  program[12]! ^= 1;
  await Deno.writeFile(`${root}/rdma-cni`, program);
  await engine.run("buildah", ["manifest", "rm", IMAGE]);
  await engine.run("buildah", ["commit", "--quiet", container, IMAGE]);
  return program;
}

export const podCases: Cases = {
  "the manifest's pod installs, installs again when it is restarted since the plugin was overwritten, and ends":
    (
      engine,
    ) =>
      withPod(engine, async ({ directory }) => {
        assertEquals(await installedVersion(directory), VERSION);
        await untilWaiting(engine);
        assertEquals(await runProbe(engine), ALIVE);
        await Deno.copyFile("/usr/bin/true", `${directory}/rdma`); // cp -f writes into the file that is there, too
        const failed = "1: failed: /host/opt/cni/bin/rdma has different content: install again\n";
        assertEquals(await runProbe(engine), failed);
        // As kubelet does then, in the pod's grace period; SIGKILL after it would take longer.
        const begin = performance.now();
        await engine.run("podman", ["restart", "--time=60", CONTAINER]);
        await untilWaiting(engine);
        const seconds = (performance.now() - begin) / 1000;
        assert(seconds < 30, `restarted and installed again in ${seconds} s`);
        assertEquals(await runProbe(engine), ALIVE);
        const { stderr } = await start({ by: engine.command("podman", "logs"), program: CONTAINER });
        assertStringIncludes(stderr, "/host/opt/cni/bin/rdma: replaced\n");
        await engine.run("podman", ["stop", "--time=60", CONTAINER]);
        assertEquals(await ask(engine, "State.ExitCode"), "0"); // 137 would be SIGKILL, after the 60 seconds
        assertEquals(await installedVersion(directory), VERSION);
      }),

  "the manifest's pod replaces another program": (engine) =>
    withPod(engine, async (pod) => {
      const other = await makeOther(engine);
      await play(engine, pod);
      await untilWaiting(engine);
      assertEquals(await installedVersion(pod.directory), VERSION);
      const program = await Deno.readFile(`${pod.directory}/.rdma-cni/current`);
      assert(Buffer.from(program).equals(other), "another program");
    }),
};
