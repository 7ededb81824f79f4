// The commands and configurations in the documents.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import { parseConfig } from "../../src/plugin/config/config.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { blockNamed, BLOCKS, blocksNamed, DOCUMENTS } from "../support/documents.ts";
import { Helm } from "../support/helm.ts";
import { buildDirectory, buildText, checkTypes, MANIFEST_FILES, validate } from "../support/manifests.ts";
import { PROGRAM, start } from "../support/program.ts";

const PROJECT = new URL("../..", import.meta.url);

const VERIFY = blockNamed("bill-of-materials");
const UNITS = [
  { name: "netns-mode-unit", unit: "rdma-cni-netns-mode.service", target: "sysinit.target" },
  { name: "vf-mac-unit", unit: "rdma-cni-vf-mac.service", target: "multi-user.target" },
  { name: "agent-unit", unit: "rdma-cni-agent.service", target: "multi-user.target" },
];

/** Names of blocks, each with where it is used if not in this file. */
const USED: Readonly<Record<string, string>> = {
  demo: "tests/vm/demo_test.ts",
  "all-tests": "the run of all tests itself",
  build: "tests/deployment/document_commands_test.ts, and every build of the tests",
  image: "tests/deployment/commit_test.ts",
  "image-behind-mirror": "tests/image/build.ts",
  "helm-install": "tests/deployment/chart_test.ts",
  "multus-limits": "tests/files/doctor_multus_test.ts",
  "udev-rule": "tests/vm/cases/vf_mac.ts",
  "package-plugin": "tests/packages/node.ts",
  "package-units": "tests/packages/node.ts",
  "package-force": "tests/packages/node.ts",
  validate: "tests/binary/validate_test.ts",
  ...Object.fromEntries(
    [
      ...[
        "apply-manifest",
        "apply-cluster",
        "delete-cluster",
        "uninstall",
        "install",
        "install-session",
        "link",
      ],
      ...[
        "bill-of-materials",
        "bench",
        "configuration",
        "kustomization",
        "network",
        ...UNITS.map(({ name }) => name),
      ],
    ].map((name) => [name, "here"]),
  ),
};

Deno.test("every command and configuration in the documents is used by a test", () => {
  const blocks = BLOCKS.filter(({ language }) => !["", "mermaid"].includes(language));
  assertEquals(blocks.filter(({ name }) => name === undefined || !(name in USED)), []);
  const names = new Set(BLOCKS.map(({ name }) => name));
  assertEquals(Object.keys(USED).filter((name) => !names.has(name)), []);
});

Deno.test("the documents' command finds the executable in its bill of materials, and another one not", async () => {
  const codeOf = async (command: string) =>
    (await new Deno.Command("sh", { args: ["-c", command], cwd: PROJECT }).output()).code;
  assertEquals([await codeOf(VERIFY), await codeOf(VERIFY.replace("dist/rdma-cni", "deno.json"))], [0, 1]);
});

Deno.test("the documents' bench compares with the empty program, here without the simulated node", async () => {
  const script = blockNamed("bench").replace(
    "deno task bench",
    "run -A tests/bench/main.ts --only here --runs 5",
  );
  const args = script.split(" ").map((word) => word === "/path/to/another/rdma" ? PROGRAM : word);
  const { code, stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: PROJECT }).output();
  assertEquals(code, 0);
  assertMatch(new TextDecoder().decode(stdout), /^VERSION \/ empty program +\d\.\d\d +1\.05/m);
});

Deno.test("the first page's network is one that validate finds nothing wrong with", async () => {
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(file, blockNamed("network"));
    const { code, stdout } = await start({ args: ["validate", "--strict", file] });
    assertEquals(code, 0, stdout);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("the documents' command installs an executable that runs", async () => {
  const directory = await Deno.makeTempDir();
  try {
    for (const line of [blockNamed("install"), blockNamed("link")]) {
      const command = line.replaceAll("/opt/cni/bin", directory).replaceAll("/usr/local/sbin", directory);
      const { code } = await new Deno.Command("sh", { args: ["-c", command], cwd: PROJECT }).output();
      assertEquals(code, 0);
    }
    for (const name of ["rdma", "rdma-cni"]) {
      const { stdout } = await new Deno.Command(`${directory}/${name}`, { args: ["--version"] }).output();
      assertMatch(new TextDecoder().decode(stdout), /^rdma-cni \d+\.\d+\.\d+\ncommit /);
    }
    const names = [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
    assertEquals(names, [".rdma-cni", "rdma", "rdma-cni"]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("the documents show what install prints", async () => {
  const session = `${blockNamed("install-session")}\n`;
  const directory = await Deno.makeTempDir();
  try {
    let seen = "";
    for (const [line, words] of session.matchAll(/^# rdma-cni (.*)\n/gm)) {
      const args = words!.replaceAll("/opt/cni/bin", directory).split(" ");
      const { stdout, stderr } = await start({ args });
      seen += line + (stderr + stdout).replaceAll(directory, "/opt/cni/bin");
    }
    const withoutHash = (text: string) => text.replaceAll(/-[0-9a-f]{12}:/g, "-HASH:");
    assertEquals(withoutHash(seen), withoutHash(session));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("the documents' command uninstalls what was installed", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const { code } = await start({ args: ["install", "--cni-bin-dir", directory] });
    assertEquals([code, [...Deno.readDirSync(directory)].length], [0, 2]);
    const command = blockNamed("uninstall").replaceAll("/opt/cni/bin", directory);
    const ended = await new Deno.Command("sh", { args: ["-c", command] }).output();
    assertEquals([ended.code, [...Deno.readDirSync(directory)]], [0, []]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("what the documents hand to kubectl is valid, or is built of what is", async () => {
  const examples = Deno.readTextFileSync(new URL("examples/README.md", PROJECT));
  const commands = [...(DOCUMENTS + examples).matchAll(/^(?:\$ )?kubectl (?:apply|delete) -([fk]) (\S+)$/gm)];
  assert(commands.length > 0);
  // The last is a release's, which is what examples/cluster builds.
  const files = [...MANIFEST_FILES, "rdma-cni.yaml"];
  for (const [, option, path] of commands) {
    if (option === "f") assert(files.includes(path!), path);
    else for (const { manifest } of await buildDirectory(path!)) validate(manifest);
  }
});

Deno.test("the documents' kustomizations patch what they are about", async () => {
  const built = (await Promise.all(blocksNamed("kustomization").map((text) => buildText(text)))).flat();
  assertEquals(await checkTypes(built), "");
  for (const { manifest } of built) validate(manifest);
  const daemonSets = built.map(({ manifest }) => manifest).filter(({ kind }) => kind === "DaemonSet");
  const pods = daemonSets.map((manifest) => (manifest as IDaemonSet).spec!.template.spec!);
  assertEquals(pods.map(({ volumes }) => volumes!.map(({ hostPath }) => hostPath!.path)), [
    ["/opt/cni/bin", "/run/rdma-cni"],
    ["/var/lib/rancher/k3s/data/cni"],
    ["/var/lib/cni/bin"],
  ]);
  assertEquals(pods.map(({ securityContext }) => securityContext!.seLinuxOptions?.type), [
    undefined,
    undefined,
    "spc_t",
  ]);
  const [helm] = await (await Helm.get("4.1.4")).render({
    agent: { enabled: true, metrics: { enabled: true } },
  });
  assertEquals(pods[0]!.containers, (helm!.manifest as IDaemonSet).spec!.template.spec!.containers);
});

for (const { name, unit, target } of UNITS) {
  Deno.test(`the documents' command has ${target} start ${unit}`, async () => {
    const root = await Deno.makeTempDir();
    try {
      const directory = "/etc/systemd/system";
      await Deno.mkdir(`${root}${directory}`, { recursive: true });
      const command = blockNamed(name).replace(directory, `${root}${directory}`).replace(
        "systemctl enable --now",
        "systemctl enable",
      ).replace("systemctl", `systemctl --root=${root}`);
      const { code } = await new Deno.Command("sh", { args: ["-c", command], cwd: PROJECT }).output();
      assertEquals(code, 0);
      assertEquals(
        await Deno.readLink(`${root}${directory}/${target}.wants/${unit}`),
        `${directory}/${unit}`,
      );
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}

Deno.test("the documents' and the examples' configurations are accepted", async () => {
  const example = Deno.readTextFileSync(new URL("../../examples/roce.conflist", import.meta.url));
  const networks = [...blocksNamed("configuration"), example].map((text) => JSON.parse(text));
  for (const network of networks) {
    const { cniVersion, name, plugins = [network] } = network;
    const own = plugins.filter(({ type }: { type: string }) => type === "rdma");
    assertEquals(own.length, 1);
    for (const plugin of own) await parseConfig(JSON.stringify({ cniVersion, name, ...plugin }));
  }
});

Deno.test("every error code is in the documents", async () => {
  const { ErrorCode } = await import("../../src/cni/error.ts");
  for (const code of Object.values(ErrorCode)) assertMatch(DOCUMENTS, new RegExp(`^\\| ${code} +\\|`, "m"));
});
