import {
  addNetns,
  INSTALLED_PLUGIN,
  netnsPath,
  rdmaDevices,
  rdmaToNetns,
  setSimParameter,
  sh,
  shOk,
  vf,
  vfs,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { formatRecord } from "../../../src/plugin/record.ts";
vmCase("tmpcap: golden", async () => {
  const { stderr, stdout } = await sh(
    "strace -e trace=sendto,sendmsg,recvmsg,recvfrom -e read=all -e write=all rdma statistic show link mlx5_1/1",
  );
  return stdout + stderr;
}, 100_000);
vmCase("tmpmany: 128", async () => {
  const N = 128;
  setSimParameter("extra", N);
  const all = (await rdmaDevices()).filter((d) => d.index > 8).slice(-N);
  await shOk("mkdir -p -m 700 /var/lib/cni/rdma");
  const boot = Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
  for (const [i, d] of all.entries()) {
    const p = `p${i}`;
    await addNetns(p);
    await rdmaToNetns(d.name, p);
    const inode = Deno.statSync(netnsPath(p)).ino!;
    Deno.writeTextFileSync(
      `/var/lib/cni/rdma/net-c${i}-net1`,
      formatRecord({
        attachment: { network: "net", containerID: `c${i}`, ifname: "net1" },
        deviceId: "rdma_sim",
        devices: [{ index: d.index, hostName: d.name, podName: d.name }],
        netns: { path: netnsPath(p), inode },
        bootId: boot,
        createdAt: Date.now(),
      }),
    );
  }
  const times: Record<string, number[]> = {};
  for (const words of ["--version", "netns-mode", "pods --json"]) {
    times[words] = [];
    for (let i = 0; i < 3; i++) {
      const t = performance.now();
      const { code, stdout, stderr } = await sh(`${INSTALLED_PLUGIN} ${words}`);
      times[words].push(Math.round(performance.now() - t));
      if (code !== 0) throw new Error(stderr);
      if (words.startsWith("pods")) {
        const n = JSON.parse(stdout).filter((d: { status: string; ports: { counters: object }[] }) =>
          d.status === "present" && Object.keys(d.ports[0]!.counters).length === 4
        ).length;
        if (n !== N) {
          throw new Error(`${n}`);
        }
      }
    }
  }
  const st = await sh(`strace -f -c -o /run/st ${INSTALLED_PLUGIN} pods --json >/dev/null; head -30 /run/st`);
  for (let i = 0; i < N; i++) await sh(`ip netns del p${i}`);
  await sh("rm -r /var/lib/cni/rdma");
  setSimParameter("extra", 0);
  return { times, st: st.stdout };
}, 580_000);
