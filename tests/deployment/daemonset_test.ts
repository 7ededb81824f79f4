// What the DaemonSet may do on a node: as little as possible, each exception spelled out here.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import type { IRoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1";
import type { IContainer, IServiceAccount, IVolume } from "kubernetes-models/v1";
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

/** The directories of the node that a container may write into, and its security context. */
const RIGHTS: Record<string, [directories: string[], securityContext: IContainer["securityContext"]]> = {
  "netns-mode-check": [[], CONFINED],
  install: [["/host/opt/cni/bin"], CONFINED],
  installed: [["/host/opt/cni/bin"], CONFINED],
  "vf-mac-init": [["/sys/bus/pci", "/var/lib/cni/rdma"], {
    ...CONFINED,
    capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
    appArmorProfile: { type: "Unconfined" },
  }],
  agent: [["/host/opt/cni/bin", "/run/rdma-cni"], { privileged: true, readOnlyRootFilesystem: true }],
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

/** Builds by their names, with their containers in order. */
const BUILDS: Record<string, [containers: string[], sources: Source[]]> = {
  "the plain manifest": [["install", "installed"], readManifests("deployment/kubernetes/daemonset.yaml")],
  "netns-mode-check": [["install", "netns-mode-check", "installed"], await buildWith(["netns-mode-check"])],
  "vf-mac-init": [["install", "vf-mac-init", "installed"], await buildWith(["vf-mac-init"])],
  "agent": [["install", "agent"], await buildWith(["agent"])],
  "openshift": [
    ["install", "installed"],
    (await buildWith(["openshift"])).filter(({ manifest }) => manifest.kind === "DaemonSet"),
  ],
  "three, in another order": [
    ["install", "vf-mac-init", "netns-mode-check", "agent"],
    await buildWith(["agent", "vf-mac-init", "netns-mode-check"]),
  ],
  "examples/cluster": [
    ["install", "vf-mac-init", "netns-mode-check", "installed"],
    await buildDirectory("examples/cluster"),
  ],
};

for (const [name, [names, sources]] of Object.entries(BUILDS)) {
  const [daemonSet, ...others] = sources.map(({ manifest }) => manifest as IDaemonSet);
  const pod = daemonSet!.spec!.template.spec!;
  const containers = [...pod.initContainers ?? [], ...pod.containers];

  Deno.test(`${name}: one DaemonSet with its containers in order, of this version, of which none has more rights or memory than it needs`, () => {
    assertEquals(others, []);
    const found = containers.map(({ name, image }) => [name, image?.split(":").at(-1)]);
    assertEquals(found, names.map((one) => [one, VERSION]));
    const usual = { requests: { cpu: "1m", memory: "1Mi" }, limits: { memory: "128Mi" } };
    for (const { name, resources, securityContext, volumeMounts = [] } of containers) {
      const mounts = volumeMounts.map(({ mountPath, readOnly }) =>
        readOnly ? `${mountPath} (read only)` : mountPath
      );
      assertEquals([mounts, securityContext], RIGHTS[name], name);
      assertEquals(resources, RESOURCES[name] ?? usual, name);
    }
  });

  Deno.test(`${name}: the pod has no account, no namespaces of the host and no directories but its own`, () => {
    const ifSomeOf = (...wanted: string[]) => names.some((one) => wanted.includes(one)) ? true : undefined;
    const { hostNetwork, hostPID, hostIPC, automountServiceAccountToken, serviceAccountName } = pod;
    const host = [ifSomeOf("vf-mac-init", "agent"), ifSomeOf("agent"), undefined];
    assertEquals([hostNetwork, hostPID, hostIPC], host);
    const isOpenShift = name === "openshift";
    const account = isOpenShift ? "rdma-cni" : undefined;
    assertEquals([automountServiceAccountToken, serviceAccountName], [false, account]);
    assertEquals(pod.securityContext, {
      ...{ runAsUser: 0, runAsGroup: 0, seccompProfile: { type: "RuntimeDefault" } },
      ...isOpenShift ? { seLinuxOptions: { type: "spc_t" } } : {},
    });
    for (const { name, ...source } of pod.volumes ?? []) {
      const hostPath = VOLUMES[name]!;
      assertEquals(source, { hostPath: isOpenShift ? { ...hostPath, path: "/var/lib/cni/bin" } : hostPath });
    }
  });

  Deno.test(`${name}: it can be updated: labels have no version, the plugin is installed first, nodes do not wait`, () => {
    const { metadata, spec } = daemonSet!;
    const labels = { ...metadata!.labels, ...spec!.template.metadata!.labels, ...spec!.selector.matchLabels };
    // A kustomization's newTag would leave it wrong.
    assertEquals(Object.entries(labels).filter((label) => label.join().includes(VERSION)), []);
    assertEquals(labels["app.kubernetes.io/name"], "rdma-cni");
    assertEquals(pod.initContainers![0]!.args, ["install"]); // before anything that can fail
    const { type, rollingUpdate } = spec!.updateStrategy!;
    assertEquals([type, rollingUpdate], ["RollingUpdate", { maxUnavailable: "100%" }]);
  });

  if (names.includes("agent")) continue;

  Deno.test(`${name}: a plugin that was overwritten restarts the container, which installs again`, () => {
    const { args, livenessProbe, readinessProbe } = pod.containers[0]!;
    assertEquals([args, readinessProbe], [["install", "--wait"], undefined]);
    // The first one must not come while the container installs: it would end it.
    assertEquals(livenessProbe, {
      exec: { command: ["/rdma-cni", "install", "--check"] },
      ...{ initialDelaySeconds: 60, periodSeconds: 60, timeoutSeconds: 60, failureThreshold: 1 },
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
  for (
    const [components, directory] of [
      [["agent"], "/opt/cni/bin"],
      [["openshift", "agent"], "/var/lib/cni/bin"],
    ] as [string[], string][]
  ) {
    const [container] = await containersWith(components);
    assertEquals(container!.args!.slice(0, 3), ["agent", "--host-cni-bin-dir", directory]);
  }
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
  const { metadata, roleRef, subjects } = binding!;
  const { name, namespace } = account!.metadata!;
  assertEquals([accounts, bindings, metadata!.namespace], [[], [], namespace]);
  assertEquals(roleRef.name, "system:openshift:scc:privileged");
  assertEquals(subjects, [{ kind: "ServiceAccount", name: name!, namespace: namespace! }]);
});

async function containersWith(components: string[]): Promise<IContainer[]> {
  const manifests = (await buildWith(components)).map(({ manifest }) => manifest);
  const daemonSet = manifests.find(({ kind }) => kind === "DaemonSet") as IDaemonSet;
  return daemonSet.spec!.template.spec!.containers;
}
