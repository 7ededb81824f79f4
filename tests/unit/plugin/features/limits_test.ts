import { CniError } from "../../../../src/cni/error.ts";
import { listPodCgroups, podCgroupOf } from "../../../../src/plugin/features/limits.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

const UID = "8c7e2f3a-15b4-4d0c-9a6e-0123456789ab";
const SLICE = UID.replaceAll("-", "_");

Deno.test("kubelet's cgroups of a pod, by driver, QoS class and root", () => {
  assertEquals(listPodCgroups(UID), [
    `/kubepods.slice/kubepods-pod${SLICE}.slice`,
    `/kubepods/pod${UID}`,
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE}.slice`,
    `/kubepods/burstable/pod${UID}`,
    `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${SLICE}.slice`,
    `/kubepods/besteffort/pod${UID}`,
    `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${SLICE}.slice`,
    `/kubelet/kubepods/pod${UID}`,
    `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod${SLICE}.slice`,
    `/kubelet/kubepods/burstable/pod${UID}`,
    `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${SLICE}.slice`,
    `/kubelet/kubepods/besteffort/pod${UID}`,
  ]);
});

Deno.test("a static pod has a UID without hyphens", () => {
  assertEquals(
    listPodCgroups("0123456789abcdef0123456789abcdef")[1],
    "/kubepods/pod0123456789abcdef0123456789abcdef",
  );
});

for (const uid of ["", "..", "../../x", `${UID}/..`, `${UID}\n`, `x${UID}`, UID.slice(1), "0".repeat(33)]) {
  Deno.test(`K8S_POD_UID ${JSON.stringify(uid)} is refused`, () => {
    assertEquals(assertThrows(() => listPodCgroups(uid), CniError, JSON.stringify(uid)).code, 4);
  });
}

Deno.test("a container's cgroup leads to its pod's, where kubelet made that", () => {
  for (const pod of listPodCgroups(UID)) {
    for (const below of ["", "/cri-containerd-1.scope", "/a/b"]) assertEquals(podCgroupOf(pod + below), pod);
  }
  for (
    const other of [
      "/default/nginx",
      `/system.slice/pod${UID}x`,
      "/machine/libpod_pod_" + "0".repeat(64),
      "/",
    ]
  ) {
    assertEquals(podCgroupOf(other), other);
  }
});
