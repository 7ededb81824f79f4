import { endBackground, sh, shOk, until } from "./sh.ts";

export const CGROUP_V2 = "/sys/fs/cgroup";
export const POD_UID = "8c7e2f3a-15b4-4d0c-9a6e-0123456789ab";
/** The pod's cgroup as kubelet makes it with its driver systemd. */
export const SYSTEMD_CGROUP = `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${
  POD_UID.replaceAll("-", "_")
}.slice`;
export const CGROUPFS_CGROUP = `/kubepods/burstable/pod${POD_UID}`;

export class PodCgroup implements AsyncDisposable {
  readonly container: string;

  private constructor(readonly mount: string, readonly path: string) {
    this.container = `${mount}${path}/cri-containerd-1.scope`;
  }

  /** @param isEnabled whether the parents enable the controller, as container runtimes do */
  static async create(path: string, { mount = CGROUP_V2, isEnabled = true } = {}): Promise<PodCgroup> {
    const cgroup = new PodCgroup(mount, path);
    await shOk(`mkdir -p ${cgroup.container}`);
    if (mount === CGROUP_V2 && isEnabled) {
      for (const parent of cgroup.#parents()) await shOk(`echo +rdma >${parent}/cgroup.subtree_control`);
    }
    return cgroup;
  }

  /** The directories above the pod's, from the top. */
  #parents(): string[] {
    const parts = this.path.split("/").slice(0, -1);
    return parts.map((_, at) => this.mount + parts.slice(0, at + 1).join("/"));
  }

  limits(): string[] {
    const lines = Deno.readTextFileSync(`${this.mount}${this.path}/rdma.max`).trim().split("\n");
    return lines.map((line) => line.trim()).filter((line) => !/^$|=max hca_object=max$/.test(line));
  }

  /** Ends what uses devices in the cgroup and takes its limits away, see {@linkcode remove}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await endBackground();
    for (const line of this.limits()) {
      const unlimited = line.replaceAll(/(hca_\w+)=\S+/g, "$1=max");
      await shOk(`echo ${unlimited} >${this.mount}${this.path}/rdma.max`);
    }
    await this.remove();
  }

  /**
   * Removes the cgroup. If it has limits on a device that nobody in it uses, the kernel keeps a pointer to it, and may
   * crash when the device goes (seen on 6.12.118; rdmacg_css_offline in kernel/cgroup/rdma.c).
   */
  async remove(): Promise<void> {
    for (const one of [this.container, `${this.mount}${this.path}`]) {
      await until(`${one} is empty`, async () => (await sh(`rmdir ${one}`)).code === 0);
    }
    // Another pod may be in these.
    const [top, ...parents] = this.#parents();
    for (const one of parents.reverse()) await shOk(`rmdir --ignore-fail-on-non-empty ${one}`);
    await sh(`echo -rdma >${top}/cgroup.subtree_control`);
  }
}

/** A hierarchy of version 1 with the controller rdma, which version 2 does not have meanwhile. */
export async function mountCgroupV1(): Promise<AsyncDisposable & { readonly mount: string }> {
  const mount = "/run/cgroup-rdma";
  const succeeds = async (command: string) => (await sh(command)).code === 0;
  await shOk(`mkdir -p ${mount}`);
  const mountIt = () => succeeds(`mount -t cgroup -o rdma cgroup ${mount}`);
  await until("version 2 has given up the controller", mountIt);
  return {
    mount,
    [Symbol.asyncDispose]: async () => {
      // Unmounting ends a hierarchy that has no cgroup but its root, and others stay for a while without their directory.
      const onlyRoot = () => succeeds("grep -qP '^rdma\\t\\d+\\t1\\t' /proc/cgroups");
      await until(`${mount} is empty`, onlyRoot);
      await shOk(`umount ${mount}`);
      const hasController = () => succeeds(`grep -qw rdma ${CGROUP_V2}/cgroup.controllers`);
      await until("version 2 has the controller again", hasController);
    },
  };
}
