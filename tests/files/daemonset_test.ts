// What the DaemonSet may do on a node: as little as possible, each exception spelled out here.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import type { IRoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1";
import type { IContainer, IPodSpec, IServiceAccount, IVolume } from "kubernetes-models/v1";
import { VERSION } from "../../src/version.ts";
import { assertEquals } from "../support/assert.ts";
import { buildDirectory, buildText, buildWith, readManifests, type Source } from "../support/manifests.ts";

const CONFINED = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  privileged: false,
  readOnlyRootFilesystem: true,
};

interface Rights {
  securityContext: IContainer["securityContext"];
  /** Mount path to whether it may be written to. */
  mounts: Record<string, "read" | "write">;
}

const RIGHTS: Record<string, Rights> = {
  "netns-mode-check": { securityContext: CONFINED, mounts: {} },
  install: { securityContext: CONFINED, mounts: { "/host/opt/cni/bin": "write" } },
  "vf-mac-init": {
    securityContext: {
      ...CONFINED,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
      appArmorProfile: { type: "Unconfined" },
    },
    mounts: { "/sys/bus/pci": "write", "/var/lib/cni/rdma": "write" },
  },
  installed: { securityContext: CONFINED, mounts: { "/host/opt/cni/bin": "write" } },
  gc: {
    securityContext: {
      ...CONFINED,
      capabilities: { drop: ["ALL"], add: ["DAC_READ_SEARCH", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"] },
      appArmorProfile: { type: "Unconfined" },
    },
    mounts: { "/var/lib/cni/rdma": "write", "/sys": "write" },
  },
  metrics: {
    securityContext: {
      ...CONFINED,
      capabilities: { drop: ["ALL"], add: ["DAC_READ_SEARCH", "SYS_ADMIN", "SYS_PTRACE"] },
      appArmorProfile: { type: "Unconfined" },
    },
    mounts: {
      "/var/lib/cni/rdma": "write",
      "/run/netns": "write",
      "/var/run/netns": "write",
      "/textfile": "write",
    },
  },
};

/** What containers take: those that install for page cache, those that go on running for themselves. */
const MEMORY: Record<string, { request: string; limit: string }> = {
  install: { request: "1Mi", limit: "256Mi" },
  installed: { request: "1Mi", limit: "256Mi" },
  gc: { request: "32Mi", limit: "128Mi" },
  metrics: { request: "32Mi", limit: "128Mi" },
};

const VOLUMES: Record<string, IVolume["hostPath"]> = {
  "cni-bin": { path: "/opt/cni/bin", type: "Directory" },
  pci: { path: "/sys/bus/pci", type: "Directory" },
  state: { path: "/var/lib/cni/rdma", type: "DirectoryOrCreate" },
  "gc-state": { path: "/var/lib/cni/rdma", type: "DirectoryOrCreate" },
  "gc-sys": { path: "/sys", type: "Directory" },
  "metrics-state": { path: "/var/lib/cni/rdma", type: "DirectoryOrCreate" },
  "metrics-netns": { path: "/run/netns", type: "DirectoryOrCreate" },
  "metrics-textfile": { path: "/var/lib/prometheus/node-exporter", type: "DirectoryOrCreate" },
};

const BUILDS: { name: string; containers: string[]; sources: Source[] }[] = [
  {
    name: "the plain manifest",
    containers: ["install", "installed"],
    sources: readManifests("deployment/kubernetes/daemonset.yaml"),
  },
  {
    name: "netns-mode-check",
    containers: ["install", "netns-mode-check", "installed"],
    sources: await buildWith(["netns-mode-check"]),
  },
  {
    name: "vf-mac-init",
    containers: ["install", "vf-mac-init", "installed"],
    sources: await buildWith(["vf-mac-init"]),
  },
  {
    name: "gc",
    containers: ["install", "installed", "gc"],
    sources: await buildWith(["gc"]),
  },
  {
    name: "metrics",
    containers: ["install", "installed", "metrics"],
    sources: await buildWith(["metrics"]),
  },
  {
    name: "openshift",
    containers: ["install", "installed"],
    sources: (await buildWith(["openshift"])).filter(({ manifest }) => manifest.kind === "DaemonSet"),
  },
  {
    name: "four, in another order",
    containers: ["install", "vf-mac-init", "netns-mode-check", "installed", "metrics", "gc"],
    sources: await buildWith(["metrics", "vf-mac-init", "gc", "netns-mode-check"]),
  },
  {
    name: "examples/cluster",
    containers: ["install", "vf-mac-init", "netns-mode-check", "installed"],
    sources: await buildDirectory("examples/cluster"),
  },
];

for (const { name, containers, sources } of BUILDS) {
  const [daemonSet, ...others] = sources.map(({ manifest }) => manifest as IDaemonSet);
  const pod = daemonSet!.spec!.template.spec!;

  Deno.test(`${name}: one DaemonSet with its containers in order`, () => {
    assertEquals(others, []);
    assertEquals([...pod.initContainers ?? [], ...pod.containers].map((one) => one.name), containers);
  });

  for (const container of [...pod.initContainers ?? [], ...pod.containers]) {
    Deno.test(`${name}: ${container.name} has no more rights than it needs`, () => {
      assertEquals(rightsOf(container), RIGHTS[container.name]);
    });

    Deno.test(`${name}: ${container.name} is bounded in memory, by what was measured`, () => {
      const { request, limit } = MEMORY[container.name] ?? { request: "1Mi", limit: "128Mi" };
      assertEquals(container.resources, {
        requests: { cpu: "1m", memory: request },
        limits: { memory: limit },
      });
    });

    Deno.test(`${name}: ${container.name} runs this version`, () => {
      assertEquals(container.image?.split(":").at(-1), VERSION);
    });
  }

  Deno.test(`${name}: the pod has no account, no namespaces of the host and no directories but its own`, () => {
    const someOf = (...names: string[]) => names.some((name) => containers.includes(name)) ? true : undefined;
    const hostNetwork = someOf("vf-mac-init", "gc", "metrics");
    assertEquals(hostNamespaces(pod), { hostNetwork, hostPID: someOf("gc", "metrics"), hostIPC: undefined });
    const isOpenShift = name === "openshift";
    assertEquals([pod.automountServiceAccountToken, pod.serviceAccountName], [
      false,
      isOpenShift ? "rdma-cni" : undefined,
    ]);
    assertEquals(pod.securityContext, {
      runAsUser: 0,
      runAsGroup: 0,
      seccompProfile: { type: "RuntimeDefault" },
      ...isOpenShift ? { seLinuxOptions: { type: "spc_t" } } : {},
    });
    for (const { name, ...source } of pod.volumes ?? []) {
      const hostPath = VOLUMES[name]!;
      assertEquals(source, { hostPath: isOpenShift ? { ...hostPath, path: "/var/lib/cni/bin" } : hostPath });
    }
  });

  Deno.test(`${name}: no label has a version, which a kustomization's newTag would leave wrong`, () => {
    const { metadata, spec } = daemonSet!;
    const labels = { ...metadata!.labels, ...spec!.template.metadata!.labels, ...spec!.selector.matchLabels };
    assertEquals(Object.entries(labels).filter((label) => label.join().includes(VERSION)), []);
    assertEquals(labels["app.kubernetes.io/name"], "rdma-cni");
  });

  Deno.test(`${name}: the plugin is installed before anything that can fail, and nodes do not wait for each other`, () => {
    assertEquals(pod.initContainers![0]!.args, ["install"]);
    assertEquals(daemonSet!.spec!.updateStrategy, {
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: "100%" },
    });
  });

  Deno.test(`${name}: a plugin that was overwritten restarts the container, which installs again`, () => {
    const { args, livenessProbe, readinessProbe } = pod.containers[0]!;
    assertEquals([args, readinessProbe], [["install", "--wait"], undefined]);
    // The first one must not come while the container installs: it would end it.
    assertEquals(livenessProbe, {
      exec: { command: ["/rdma-cni", "install", "--check"] },
      initialDelaySeconds: 60,
      periodSeconds: 60,
      timeoutSeconds: 60,
      failureThreshold: 1,
    });
  });
}

Deno.test("a kustomization's newTag sets the version everywhere", async () => {
  const [built] = await buildText(
    "resources: [../../deployment/kubernetes]\nimages: [{ name: localhost/rdma-cni, newTag: 9.9.9 }]\n",
  );
  const text = JSON.stringify(built!.manifest);
  assertEquals([text.includes(VERSION), text.match(/:9\.9\.9/g)!.length], [false, 2]);
});

Deno.test("openshift: the pod's account may use the security context constraint that it needs, and nothing else", async () => {
  const built = (await buildWith(["openshift"])).map(({ manifest }) => manifest);
  const [account, ...accounts] = built.filter(({ kind }) => kind === "ServiceAccount") as IServiceAccount[];
  const [binding, ...bindings] = built.filter(({ kind }) => kind === "RoleBinding") as IRoleBinding[];
  const { name, namespace } = account!.metadata!;
  assertEquals([accounts, bindings, binding!.metadata!.namespace, binding!.roleRef.name, binding!.subjects], [
    [],
    [],
    namespace,
    "system:openshift:scc:privileged",
    [{ kind: "ServiceAccount", name: name!, namespace: namespace! }],
  ]);
});

function rightsOf({ securityContext, volumeMounts = [] }: IContainer): Rights {
  const mounts = volumeMounts.map(({ mountPath, readOnly }) => [mountPath, readOnly ? "read" : "write"]);
  return { securityContext, mounts: Object.fromEntries(mounts) };
}

function hostNamespaces({ hostNetwork, hostPID, hostIPC }: IPodSpec) {
  return { hostNetwork, hostPID, hostIPC };
}
