// What the DaemonSet may do on a node: as little as possible, each exception spelled out here.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import type { IRoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1";
import type { IContainer, IPodSpec, IServiceAccount, IVolume } from "kubernetes-models/v1";
import { KEYS } from "../../src/plugin/config/keys.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertRejects } from "../support/assert.ts";
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
  agent: {
    securityContext: { privileged: true, readOnlyRootFilesystem: true },
    mounts: { "/host/opt/cni/bin": "write", "/run/rdma-cni": "write" },
  },
};

/** What containers take: those that install for page cache, and the agent for itself. */
const RESOURCES: Record<string, IContainer["resources"]> = {
  install: { requests: { cpu: "1m", memory: "1Mi" }, limits: { memory: "256Mi" } },
  installed: { requests: { cpu: "1m", memory: "1Mi" }, limits: { memory: "256Mi" } },
  agent: { requests: { cpu: "50m", memory: "80Mi" }, limits: { memory: "256Mi" } },
};

const VOLUMES: Record<string, IVolume["hostPath"]> = {
  "cni-bin": { path: "/opt/cni/bin", type: "Directory" },
  pci: { path: "/sys/bus/pci", type: "Directory" },
  state: { path: "/var/lib/cni/rdma", type: "DirectoryOrCreate" },
  "agent-socket": { path: "/run/rdma-cni", type: "DirectoryOrCreate" },
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
    name: "agent",
    containers: ["install", "agent"],
    sources: await buildWith(["agent"]),
  },
  {
    name: "openshift",
    containers: ["install", "installed"],
    sources: (await buildWith(["openshift"])).filter(({ manifest }) => manifest.kind === "DaemonSet"),
  },
  {
    name: "three, in another order",
    containers: ["install", "vf-mac-init", "netns-mode-check", "agent"],
    sources: await buildWith(["agent", "vf-mac-init", "netns-mode-check"]),
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
      const others = { requests: { cpu: "1m", memory: "1Mi" }, limits: { memory: "128Mi" } };
      assertEquals(container.resources, RESOURCES[container.name] ?? others);
    });

    Deno.test(`${name}: ${container.name} runs this version`, () => {
      assertEquals(container.image?.split(":").at(-1), VERSION);
    });
  }

  Deno.test(`${name}: the pod has no account, no namespaces of the host and no directories but its own`, () => {
    const someOf = (...names: string[]) => names.some((name) => containers.includes(name)) ? true : undefined;
    const hostNetwork = someOf("vf-mac-init", "agent");
    assertEquals(hostNamespaces(pod), { hostNetwork, hostPID: someOf("agent"), hostIPC: undefined });
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

  if (containers.includes("agent")) continue;

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

Deno.test("agent: the launcher tells whether it answers, and it may wait for the lock for as long as a call does", async () => {
  const [container, ...others] = await containersWith(["agent"]);
  assertEquals(others, []);
  const { readinessProbe, livenessProbe } = container!;
  const exec = { command: ["/host/opt/cni/bin/rdma", "agent", "--check"] };
  assertEquals([readinessProbe!.exec, livenessProbe!.exec], [exec, exec]);
  const { periodSeconds, failureThreshold } = livenessProbe!;
  const patienceMs = periodSeconds! * failureThreshold! * 1000;
  assert(patienceMs > 1.5 * KEYS.lockTimeoutMs.default, `${patienceMs} ms`);
});

Deno.test("agent: it finds the program in the directory that the openshift component chooses, or kustomize refuses", async () => {
  assertEquals((await containersWith(["agent"]))[0]!.args!.slice(0, 3), [
    "agent",
    "--host-cni-bin-dir",
    "/opt/cni/bin",
  ]);
  const [container] = await containersWith(["openshift", "agent"]);
  assertEquals(container!.args![2], "/var/lib/cni/bin");
  await assertRejects(() => buildWith(["agent", "openshift"]), Error, "/containers/0/name");
});

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

async function containersWith(components: string[]): Promise<IContainer[]> {
  const manifests = (await buildWith(components)).map(({ manifest }) => manifest);
  const daemonSet = manifests.find(({ kind }) => kind === "DaemonSet") as IDaemonSet;
  return daemonSet.spec!.template.spec!.containers;
}

function rightsOf({ securityContext, volumeMounts = [] }: IContainer): Rights {
  const mounts = volumeMounts.map(({ mountPath, readOnly }) => [mountPath, readOnly ? "read" : "write"]);
  return { securityContext, mounts: Object.fromEntries(mounts) };
}

function hostNamespaces({ hostNetwork, hostPID, hostIPC }: IPodSpec) {
  return { hostNetwork, hostPID, hostIPC };
}
