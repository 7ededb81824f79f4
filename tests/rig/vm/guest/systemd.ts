import { messageOf } from "../../../../src/sys/errno.ts";
import { DEPLOYMENT } from "./programs.ts";
import { sh, shOk, startBackground, until } from "./sh.ts";

const CGROUP = "/sys/fs/cgroup/systemd";
/** Units that stand for those of a node, and what all services print. */
const DIRECTORY = "/run/units";
const LOG = `${DIRECTORY}/log`;
const TARGETS = ["none", "sysinit", "basic", "shutdown"].map((name) => `${name}.target`).join(" ");
const OUTPUT = `[Service]\\nStandardOutput=append:${LOG}\\nStandardError=inherit\\n`;

/** systemd looks at no unit and no generator of the machine that the node is made of. */
const ENVIRONMENT =
  `container=test SYSTEMD_UNIT_PATH=${DEPLOYMENT}:${DIRECTORY} SYSTEMD_GENERATOR_PATH=/nonexistent \
  SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nonexistent`;

const START =
  `mount -t proc proc /proc && exec env ${ENVIRONMENT} /usr/lib/systemd/systemd --system --unit=none.target`;

/**
 * Does work while systemd runs as the first process, in namespaces of its own but for the node's network namespace.
 *
 * @param work gets a function that starts a unit, and throws what systemd and the unit say if that fails
 */
export async function withSystemd(
  work: (start: (unit: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  await shOk(
    `mkdir -p ${DIRECTORY}/service.d && cd ${DIRECTORY} &&
     printf '[Unit]\\nDefaultDependencies=no\\n' | tee ${TARGETS} >/dev/null &&
     printf '${OUTPUT}' >service.d/output.conf &&
     { mountpoint -q /run/netns || mount --bind /run/netns /run/netns; } && mount --make-shared /run/netns`,
  );
  const process = await startBackground(
    `mkdir ${CGROUP} && echo $$ >${CGROUP}/cgroup.procs && echo started &&
     exec unshare --pid --fork --kill-child --uts --mount --propagation slave sh -c '${START}'`,
    "started",
  );
  // It answers only who is in its PID namespace.
  const { pid } = process;
  const systemctl =
    `nsenter --target ${pid} --mount --pid=/proc/${pid}/ns/pid_for_children systemctl --no-pager`;
  try {
    await until("systemd answers", async () => (await sh(`${systemctl} show-environment`)).code === 0);
    await work(async (unit) => {
      await shOk(`${systemctl} start ${unit} || { ${systemctl} status ${unit}; false; }`);
    });
  } catch (cause) {
    throw new Error(`${messageOf(cause)}; services printed: ${await shOk(`cat ${LOG}`)}`, { cause });
  } finally {
    process.kill("SIGKILL");
    await process.status;
    const removal = `find ${CGROUP} -depth -type d -exec rmdir {} +`;
    await until("its processes are gone", async () => (await sh(removal)).code === 0);
    await shOk(`rm -r /run/systemd ${DIRECTORY}`);
  }
}
