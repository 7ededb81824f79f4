import { dirname } from "node:path";
import { debianTar } from "../rig/debian.ts";
import { run } from "../rig/vm/node/packages.ts";
import { call, type Outcome, start } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";

/** What packages depend on, and what they call if it is there. */
const CONTENT = { packages: ["libmnl0", "libgcc-s1", "kmod", "systemd"] };

/** Where the package managers keep what they know. */
const BOOKKEEPING = ["/var/lib/dpkg", "/var/lib/rpm", "/var/log", "/var/cache"];

const ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };

/** The root file system of a Debian on which nothing is installed yet. */
export class Root extends TestDirectory {
  static async make(): Promise<Root> {
    const tar = await debianTar(CONTENT, (line) => console.error(`packages: ${line}`));
    const root = new Root();
    await run("tar", ["-xf", tar, "-C", root.path, "--exclude=./dev/*"]);
    return root;
  }

  /** A path there, as it is seen from here. */
  at(path: string): string {
    return this.path + path;
  }

  read(path: string): string {
    return Deno.readTextFileSync(this.at(path));
  }

  write(path: string, text: string): void {
    this.makeDirectory(dirname(path));
    Deno.writeTextFileSync(this.at(path), text);
  }

  makeDirectory(path: string): void {
    Deno.mkdirSync(this.at(path), { recursive: true });
  }

  /** Changes a setting of the packages. */
  set(name: string, value: string): void {
    const text = this.read("/etc/rdma-cni.conf");
    this.write("/etc/rdma-cni.conf", text.replace(new RegExp(`^${name}=.*`, "m"), `${name}=${value}`));
  }

  /** Runs a program of this machine that works on the root file system, which has /proc and /dev meanwhile. */
  work(program: string, ...args: string[]): Promise<Outcome> {
    return start({ by: this.#by(), program, args, env: ENVIRONMENT });
  }

  run(program: string, ...args: string[]): Promise<Outcome> {
    return start({ by: this.#by("/usr/sbin/chroot", this.path), program, args, env: ENVIRONMENT });
  }

  call(program: string, command: string): Promise<Outcome> {
    return call(command, { by: this.#by("/usr/sbin/chroot", this.path), program });
  }

  async files(): Promise<string[]> {
    const pruned = BOOKKEEPING.flatMap((path) => ["-path", this.at(path), "-prune", "-o"]);
    return (await run("find", [this.path, ...pruned, "-printf", "/%P\n"])).split("\n").sort();
  }

  #by(...more: string[]): string[] {
    const script = 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec "$@"';
    return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, this.path, ...more];
  }
}
