// The image in the place of the Go plugin's, run by podman as operators and manifests run that one.
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { IMAGE } from "./build.ts";
import type { Cases } from "./engine.ts";
import { ask, installedVersion, play, untilWaiting, withPod } from "./pod.ts";

/**
 * sriov-network-operator, bindata/manifests/daemon/daemonset.yaml: the init container "rdma-cni" and what it needs of
 * the pod. The image stands for the daemon's too: the container checks the plugin, so it fails without.
 */
const SRIOV_NETWORK_OPERATOR = `
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: sriov-network-config-daemon }
spec:
  selector: { matchLabels: { app: sriov-network-config-daemon } }
  template:
    metadata: { labels: { app: sriov-network-config-daemon } }
    spec:
      hostNetwork: true
      hostPID: true
      initContainers:
        - name: rdma-cni
          image: ${IMAGE}
          args: ["--no-sleep"]
          securityContext: { privileged: true }
          resources: { requests: { cpu: 10m, memory: 10Mi } }
          volumeMounts:
            - { name: cnibin, mountPath: /host/opt/cni/bin }
            - { name: os-release, mountPath: /host/etc/os-release, readOnly: true }
      containers:
        - name: daemon
          image: ${IMAGE}
          args: [install, --check, --wait]
          volumeMounts:
            - { name: cnibin, mountPath: /host/opt/cni/bin }
      volumes:
        - name: cnibin
          hostPath:
            path: /opt/cni/bin
        - name: os-release
          hostPath: { path: /etc/os-release, type: File }
`;
const DAEMON = "sriov-network-config-daemon-pod-daemon";

/** The Go plugin's deployment/rdma-cni-daemonset.yaml. */
const GO_PLUGIN = `
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: kube-rdma-cni-ds }
spec:
  selector: { matchLabels: { name: rdma-cni } }
  template:
    metadata: { labels: { name: rdma-cni } }
    spec:
      hostNetwork: true
      containers:
        - name: kube-rdma-cni
          image: ${IMAGE}
          imagePullPolicy: IfNotPresent
          securityContext: { privileged: true }
          resources:
            requests: { cpu: 100m, memory: 50Mi }
            limits: { cpu: 100m, memory: 50Mi }
          volumeMounts:
            - { name: cnibin, mountPath: /host/opt/cni/bin }
      volumes:
        - name: cnibin
          hostPath:
            path: /opt/cni/bin
`;
const INSTALLER = "kube-rdma-cni-ds-pod-kube-rdma-cni";

export const operatorCases: Cases = {
  "sriov-network-operator's init container installs, and ends": (engine) =>
    withPod(engine, async (pod) => {
      await untilWaiting(engine, DAEMON);
      assertEquals(await installedVersion(pod.directory), VERSION);
      // As its Go plugin would, when the image is changed there and back.
      await Deno.copyFile("/usr/bin/true", `${pod.directory}/rdma`);
      await play(engine, pod);
      await untilWaiting(engine, DAEMON);
      assertEquals(await installedVersion(pod.directory), VERSION);
    }, SRIOV_NETWORK_OPERATOR),

  "the Go plugin's DaemonSet installs within its limits, 50Mi and 100m, and stays until SIGTERM": (engine) =>
    withPod(engine, async ({ directory }) => {
      const start = performance.now();
      await untilWaiting(engine, INSTALLER);
      const host = "HostConfig.Memory}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuPeriod";
      const [memory, quota, period] = (await ask(engine, host, INSTALLER)).split(" ").map(Number);
      assertEquals([memory, quota! / period!], [50 * 1024 ** 2, 0.1]);
      const stats = ["stats", "--no-stream", "--no-reset", "--format={{.CPUNano}}", INSTALLER];
      const cpu = Number(await engine.run("podman", stats)) / 1e9;
      const seconds = (performance.now() - start) / 1000;
      console.error(`image: installed in ${seconds.toFixed(1)} s, ${cpu.toFixed(1)} s of CPU time`);
      assert(seconds < 10 * cpu + 10, `${seconds} s with ${cpu} s of CPU time`);
      assertEquals(await installedVersion(directory), VERSION);
      await engine.run("podman", ["stop", "--time=60", INSTALLER]);
      assertEquals(await ask(engine, "State.ExitCode", INSTALLER), "0");
    }, GO_PLUGIN),
};
