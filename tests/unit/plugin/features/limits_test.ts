import { CniError } from "../../../../src/cni/error.ts";
import { listPodCgroups, podCgroupOf } from "../../../../src/plugin/features/limits.ts";
import { assertEquals } from "../../../support/assert.ts";
import { assertMakes, assertRefuses } from "../../../support/table.ts";

const UID = "8c7e2f3a-15b4-4d0c-9a6e-0123456789ab";
const SLICE = UID.replaceAll("-", "_");
const ROOT = "/kubelet.slice/kubelet-kubepods.slice";

Deno.test("kubelet's cgroups of a pod, by driver, QoS class and root", () => {
  assertEquals(listPodCgroups(UID), [
    `/kubepods.slice/kubepods-pod${SLICE}.slice`,
    `/kubepods/pod${UID}`,
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE}.slice`,
    `/kubepods/burstable/pod${UID}`,
    `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${SLICE}.slice`,
    `/kubepods/besteffort/pod${UID}`,
    `${ROOT}/kubelet-kubepods-pod${SLICE}.slice`,
    `/kubelet/kubepods/pod${UID}`,
    `${ROOT}/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod${SLICE}.slice`,
    `/kubelet/kubepods/burstable/pod${UID}`,
    `${ROOT}/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${SLICE}.slice`,
    `/kubelet/kubepods/besteffort/pod${UID}`,
  ]);
  // A static pod has a UID without hyphens.
  assertEquals(listPodCgroups("0".repeat(32))[1], `/kubepods/pod${"0".repeat(32)}`);
});

Deno.test("K8S_POD_UID must be a UID", () => {
  const wrong = ["", "..", "../../x", `${UID}/..`, `${UID}\n`, `x${UID}`, UID.slice(1), "0".repeat(33)];
  const errors = assertRefuses(listPodCgroups, wrong, CniError);
  const told = errors.map(({ code, message }, at) => [code, message.includes(JSON.stringify(wrong[at]))]);
  assertEquals(told, wrong.map(() => [4, true]));
});

Deno.test("a container's cgroup leads to its pod's, where kubelet made that", () => {
  for (const pod of listPodCgroups(UID)) {
    assertMakes(podCgroupOf, ["", "/cri-containerd-1.scope", "/a/b"].map((below) => [pod + below, pod]));
  }
  const others = ["/default/nginx", `/system.slice/pod${UID}x`, `/machine/libpod_pod_${"0".repeat(64)}`, "/"];
  assertMakes(podCgroupOf, others.map((other) => [other, other]));
});
