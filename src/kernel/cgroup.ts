/** Limits of RDMA resources by cgroup (kernel/cgroup/rdma.c), in hierarchies of version 1 and 2. */
import { ENOTUNIQ, SyscallError } from "../sys/errno.ts";
import { openForWriting } from "../sys/fd.ts";
import { ifPresent, openDirectoryBelow } from "../sys/files.ts";
import type { LimitedDevice, RdmaCgroups, RdmaDevice, RdmaLimits } from "./kernel.ts";
import { unescapePath } from "./processes.ts";
import { exists, isFileName, readText } from "./sysfs.ts";

/**
 * The cgroups of this machine that limit RDMA resources.
 *
 * @param root the directory that stands for "/"
 * @returns undefined when the kernel lacks the rdma controller, or its hierarchy is not mounted
 */
export function findRdmaCgroups(root = ""): RdmaCgroups | undefined {
  const mounts = parseCgroupMounts(Deno.readTextFileSync(`${root}/proc/self/mountinfo`));
  const hasController = (path: string) =>
    readText(`${root}${path}/cgroup.controllers`)?.split(" ").includes("rdma");
  // A controller that a hierarchy of version 1 has is missing in version 2.
  const mount = mounts.find(({ options }) => options.includes("rdma")) ??
    mounts.find(({ isVersion2, path }) => isVersion2 && hasController(path));
  return mount && new LinuxRdmaCgroups(mount.path, root);
}

/** A mount of a whole hierarchy. */
export interface CgroupMount {
  readonly path: string;
  readonly isVersion2: boolean;
  /** Options of the file system, which for version 1 name the controllers. */
  readonly options: readonly string[];
}

/**
 * The mounts of whole cgroup hierarchies in /proc/PID/mountinfo, proc_pid_mountinfo(5). For a process in a cgroup
 * namespace, the root of a mount that was made outside is "/../.." and so on.
 */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [, path, version, options] =
      /^\d+ \d+ \S+ \/(?:\.\.(?:\/\.\.)*)? (\S+) .* - cgroup(2?) \S+ (\S+)$/.exec(line) ?? [];
    if (path === undefined || options === undefined) return [];
    return [{ path: unescapePath(path), isVersion2: version === "2", options: options.split(",") }];
  });
}

/** The path in /proc/PID/cgroup, cgroups(7), of the hierarchy with the rdma controller. */
export function parseRdmaCgroup(text: string): string | undefined {
  const entries = text.split("\n").flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    return controllers === undefined || path === undefined ? [] : [{ controllers, path }];
  });
  const own = entries.find(({ controllers }) => controllers.split(",").includes("rdma")) ??
    entries.find(({ controllers }) => controllers === "");
  return own?.path;
}

/** Parses rdma.max: `mlx5_0 hca_handle=2 hca_object=max`; since Linux 7.3 `index=N` after a shared name. */
export function parseRdmaLimits(text: string): LimitedDevice[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", ...pairs] = line.trim().split(" ");
    if (name === "") return [];
    const values = new Map(pairs.map((pair) => pair.split("=") as [string, string]));
    const limit = (key: string) => {
      const value = values.get(key);
      return value === undefined || value === "max" ? "max" : Number(value);
    };
    const index = values.get("index");
    return [{
      name,
      ...(index === undefined ? {} : { index: Number(index) }),
      hcaHandle: limit("hca_handle"),
      hcaObject: limit("hca_object"),
    }];
  });
}

class LinuxRdmaCgroups implements RdmaCgroups {
  constructor(readonly mount: string, readonly root: string) {}

  ofProcess(pid: number): string | undefined {
    return parseRdmaCgroup(readText(`${this.root}/proc/${pid}/cgroup`) ?? "");
  }

  has(cgroup: string): boolean {
    return this.#in(cgroup, () => true) ?? false;
  }

  hasLimits(cgroup: string): boolean {
    return this.#in(cgroup, (directory) => exists(`${directory}/rdma.max`)) ?? false;
  }

  list(cgroup: string): LimitedDevice[] {
    return parseRdmaLimits(this.#in(cgroup, (directory) => readText(`${directory}/rdma.max`)) ?? "");
  }

  read(cgroup: string, device: RdmaDevice): RdmaLimits | undefined {
    return this.list(cgroup).find(({ name, index }) =>
      name === device.name && (index ?? device.index) === device.index
    );
  }

  write(cgroup: string, device: Pick<LimitedDevice, "name" | "index">, limits: RdmaLimits): void {
    const { index, name } = device;
    const { hcaHandle, hcaObject } = limits;
    const values = [
      ...hcaHandle === undefined ? [] : [`hca_handle=${hcaHandle}`],
      ...hcaObject === undefined ? [] : [`hca_object=${hcaObject}`],
    ];
    try {
      this.#write(cgroup, [name, ...values].join(" "));
    } catch (error) {
      if (!(error instanceof SyscallError && error.errno === ENOTUNIQ) || index === undefined) throw error;
      // Kernels before 7.3, on which names are unique, do not know "index".
      this.#write(cgroup, [name, `index=${index}`, ...values].join(" "));
    }
  }

  #write(cgroup: string, line: string): void {
    const call = `write ${JSON.stringify(line)} to ${JSON.stringify(`${this.mount}${cgroup}/rdma.max`)}`;
    try {
      this.#in(cgroup, (directory) => {
        using file = openForWriting(`${directory}/rdma.max`);
        file.write(new TextEncoder().encode(line));
        return true;
      });
    } catch (error) {
      throw error instanceof SyscallError ? new SyscallError(call, error.errno) : error;
    }
  }

  /** Works in a cgroup's directory; returns undefined when it is not there, or the path cannot be a cgroup below the root. */
  #in<T>(cgroup: string, work: (directory: string) => T): T | undefined {
    const names = cgroup.replace(/^\//, "").split("/");
    if (!names.every(isFileName)) return undefined;
    using directory = ifPresent(() => openDirectoryBelow(`${this.root}${this.mount}`, names, false));
    return directory && work(directory.path);
  }
}
