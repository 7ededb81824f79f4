import { list, readText } from "../../kernel/sysfs.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

/** The kernel's name for thick Multus' process, /usr/src/multus-cni/bin/multus-daemon. */
const DAEMON = "multus-daemon";

const MIB = 1024 * 1024;

/** Enough for seven pods at once: measured with Multus 4.3, peak 245 MB. */
const WANTED_MIB = 256;

/** A call takes 30 ms without a quota, 39 under 500m, 102 under 200m, 293 under 100m. */
const WANTED_MILLICPU = 500;

/** Changes what Multus' own manifest says of its container. */
const PATCH = "kubectl -n kube-system patch daemonset kube-multus-ds --patch " +
  `'{"spec":{"template":{"spec":{"containers":[{"name":"kube-multus","resources":{"limits":{"memory":"${WANTED_MIB}Mi","cpu":null}}}]}}}}'`;

/** What a container may take. */
interface Limits {
  /** Undefined without a limit. */
  readonly memoryBytes: number | undefined;
  /** One process that takes too much ends all of them. */
  readonly endsAll: boolean;
  /** Thousandths of a processor; undefined without a quota. */
  readonly millicpu: number | undefined;
}

/** The processes of thick Multus, which runs plugins in its own container. Thin Multus has none. */
export function findMultusDaemons(root: string): number[] {
  const pids = list(`${root}/proc`).map(Number).filter(Number.isInteger);
  return pids.filter((pid) => readText(`${root}/proc/${pid}/comm`) === DAEMON);
}

/** Whether thick Multus lets plugins have the memory and the processor time that they need. */
export function examineMultus(root: string): Finding[] {
  const [pid] = findMultusDaemons(root);
  if (pid === undefined) return [ok("multus", "no thick Multus, in whose container plugins would run")];
  const limits = readLimits(root, pid);
  if (!limits) {
    return [
      warning(
        "multus",
        `the limits of thick Multus (process ${pid}) cannot be seen from here`,
        "run it on the node itself",
      ),
    ];
  }
  return [judgeMemory(limits), judgeCpu(limits)];
}

function judgeMemory({ memoryBytes, endsAll }: Limits): Finding {
  if (memoryBytes === undefined) return ok("multus", "thick Multus has no memory limit");
  const limit = `thick Multus has a memory limit of ${Math.floor(memoryBytes / MIB)} MiB`;
  if (memoryBytes >= WANTED_MIB * MIB) return ok("multus", limit);
  const short = `${limit}, want ${WANTED_MIB}: plugins run in it, 20 MiB each`;
  return endsAll
    ? problem(
      "multus",
      `${short}, and one too many ends the daemon and all of them (memory.oom.group)`,
      PATCH,
    )
    : warning("multus", short, PATCH);
}

function judgeCpu({ millicpu }: Limits): Finding {
  if (millicpu === undefined) return ok("multus", "thick Multus has no CPU limit");
  const limit = `thick Multus has a CPU limit of ${millicpu}m`;
  return millicpu >= WANTED_MILLICPU ? ok("multus", limit) : warning(
    "multus",
    `${limit}, want ${WANTED_MILLICPU}m or none: a call takes up to ten times as long`,
    PATCH,
  );
}

/** Of the control group that a process is in; undefined when that cannot be seen. */
function readLimits(root: string, pid: number): Limits | undefined {
  const lines = (readText(`${root}/proc/${pid}/cgroup`) ?? "").matchAll(/^\d+:([^:]*):(.*)$/gm);
  const paths = new Map(
    Array.from(lines, ([, names, path]) => names!.split(",").map((name) => [name, path!] as const)).flat(),
  );
  const folder = `${root}/sys/fs/cgroup`;
  return paths.has("memory")
    ? readVersion1(`${folder}/memory${paths.get("memory")}`, `${folder}/cpu${paths.get("cpu")}`)
    : readVersion2(`${folder}${paths.get("")}`);
}

/** Documentation/admin-guide/cgroup-v2.rst. */
function readVersion2(folder: string): Limits | undefined {
  const memory = readText(`${folder}/memory.max`);
  if (memory === undefined) return undefined;
  const [quota, period] = (readText(`${folder}/cpu.max`) ?? "max 100000").split(" ");
  return {
    memoryBytes: memory === "max" ? undefined : Number(memory),
    endsAll: readText(`${folder}/memory.oom.group`) === "1",
    millicpu: quota === "max" ? undefined : Math.round(1000 * Number(quota) / Number(period)),
  };
}

/** Documentation/admin-guide/cgroup-v1/memory.rst: "no limit" is the largest number of pages; sched-bwc.rst. */
function readVersion1(memory: string, cpu: string): Limits | undefined {
  const bytes = Number(readText(`${memory}/memory.limit_in_bytes`));
  if (Number.isNaN(bytes)) return undefined;
  const quota = Number(readText(`${cpu}/cpu.cfs_quota_us`) ?? "-1");
  const period = Number(readText(`${cpu}/cpu.cfs_period_us`) ?? "100000");
  return {
    memoryBytes: bytes > Number.MAX_SAFE_INTEGER ? undefined : bytes,
    endsAll: false,
    millicpu: quota < 0 ? undefined : Math.round(1000 * quota / period),
  };
}
