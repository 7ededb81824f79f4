import { run } from "../rig/vm/node/packages.ts";

/** What is tried, by what ought to be so. */
export type Cases = Record<string, (engine: Engine) => Promise<void>>;

interface Unpacked {
  root: string;
  /** The name by which buildah knows it. */
  container: string;
  config: {
    architecture: string;
    config: { Entrypoint: string[]; Cmd?: string[]; Labels: Record<string, string> };
    rootfs: { diff_ids: string[] };
  };
}

/** buildah and podman with a store of their own, so that nothing of this machine's images is seen or changed. */
export class Engine implements AsyncDisposable {
  private constructor(readonly directory: string) {}

  static async start(): Promise<Engine> {
    const directory = await Deno.makeTempDir({ prefix: "rdma-cni-image-" });
    // Without a driver the best one is taken that this machine's file system allows.
    const storage =
      `[storage]\ndriver = ""\ngraphroot = "${directory}/store"\nrunroot = "${directory}/run"\n`;
    await Deno.writeTextFile(`${directory}/storage.conf`, storage);
    await Deno.writeTextFile(`${directory}/containers.conf`, await containersConf(directory));
    return new Engine(directory);
  }

  command(program: string, ...args: string[]): string[] {
    const variables = {
      CONTAINERS_CONF: `${this.directory}/containers.conf`,
      CONTAINERS_STORAGE_CONF: `${this.directory}/storage.conf`,
      BUILDAH_ISOLATION: "chroot", // needs no more rights than a container has
      PODMAN_IGNORE_CGROUPSV1_WARNING: "1",
      PATH: Deno.env.get("PATH") ?? "",
      HOME: this.directory,
      TMPDIR: this.directory,
    };
    const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    return ["env", ...settings, program, ...args];
  }

  /** Runs a program to its end. @returns its standard output @throws {Error} with the end of what it wrote, if it fails */
  run(program: string, args: string[], cwd?: string): Promise<string> {
    const [env, ...rest] = this.command(program, ...args);
    return run(env!, rest, cwd);
  }

  /** Unpacks an image, once. Its files can be written, which changes no image. */
  unpack(image: string, architecture: string): Promise<Unpacked> {
    return this.#unpacked[`${architecture} ${image}`] ??= this.#unpack(image, architecture);
  }

  readonly #unpacked: Record<string, Promise<Unpacked>> = {};

  async #unpack(image: string, architecture: string): Promise<Unpacked> {
    const from = ["from", "--pull=never", "--arch", architecture, image];
    const container = (await this.run("buildah", from)).trim();
    const root = (await this.run("buildah", ["mount", container])).trim();
    const { OCIv1 } = JSON.parse(await this.run("buildah", ["inspect", container]));
    return { root, container, config: OCIv1 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run("podman", ["system", "reset", "--force"]);
    await Deno.remove(this.directory, { recursive: true });
  }
}

async function containersConf(directory: string): Promise<string> {
  // The defaults are higher than what a machine without CAP_SYS_RESOURCE may set.
  const limits = await Deno.readTextFile("/proc/self/limits");
  const hard = (name: string) => new RegExp(`^${name} +\\S+ +(\\d+)`, "m").exec(limits)?.[1] ?? "1024";
  const [files, processes] = [hard("Max open files"), hard("Max processes")];
  return `[containers]
default_ulimits = ["nofile=${files}:${files}", "nproc=${processes}:${processes}"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
tmp_dir = "${directory}/tmp"
`;
}
