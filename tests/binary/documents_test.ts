// The commands and configurations in the documents.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import { ErrorCode } from "../../src/cni/error.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../support/assert.ts";
import { blockNamed, BLOCKS, blocksNamed, DOCUMENTS } from "../support/documents.ts";
import { Helm } from "../support/helm.ts";
import { buildDirectory, buildText, checkTypes, MANIFEST_FILES, validate } from "../support/manifests.ts";
import { PROGRAM, start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";

const UNITS = [
  { name: "netns-mode-unit", unit: "rdma-cni-netns-mode.service", target: "sysinit.target" },
  { name: "vf-mac-unit", unit: "rdma-cni-vf-mac.service", target: "multi-user.target" },
  { name: "agent-unit", unit: "rdma-cni-agent.service", target: "multi-user.target" },
];

/** Names of blocks, by where they are used. */
const USED: Readonly<Record<string, string[]>> = {
  "here": [
    ...["apply-manifest", "apply-cluster", "delete-cluster", "bench", "bill-of-materials", "kustomization"],
    ...["install", "install-session", "link", "uninstall", ...UNITS.map(({ name }) => name)],
  ],
  "tests/binary/validate_test.ts": ["configuration", "network", "validate"],
  "tests/vm/demo_test.ts": ["demo"],
  "the run of all tests itself": ["all-tests"],
  "tests/deployment/documents_test.ts, and every build of the tests": ["build"],
  "tests/deployment/commit_test.ts": ["image"],
  "tests/image/build.ts": ["image-behind-mirror"],
  "tests/deployment/chart_test.ts": ["helm-install"],
  "tests/files/doctor_multus_test.ts": ["multus-limits"],
  "tests/vm/cases/vf_mac.ts": ["udev-rule"],
  "tests/packages/node.ts": ["package-plugin", "package-units", "package-force"],
};

Deno.test("every command and configuration in the documents is used by a test", () => {
  const blocks = BLOCKS.filter(({ name, language }) => name || !["", "mermaid"].includes(language));
  assertEquals([...new Set(blocks.map(({ name }) => name))].sort(), Object.values(USED).flat().sort());
});

/** Runs a command, of the documents or not, in the project's directory. @throws {Error} when it fails */
const sh = (command: string) => run("sh", ["-c", command], PROJECT);

Deno.test("the documents' command finds the executable in its bill of materials, and another one not", async () => {
  const verify = blockNamed("bill-of-materials");
  await sh(verify);
  await assertRejects(() => sh(verify.replace("dist/rdma-cni", "deno.json")), Error, "exit status 1");
});

Deno.test("the documents' bench compares with the empty program, here without the simulated node", async () => {
  const [deno, task, bench, ...options] = blockNamed("bench").split(" ");
  assertEquals([deno, task, bench], ["deno", "task", "bench"]);
  const args = ["run", "-A", "tests/bench/main.ts", "--only", "here", "--runs", "5"];
  args.push(...options.map((option) => option.replace("/path/to/another/rdma", PROGRAM)));
  assertMatch(await run(Deno.execPath(), args, PROJECT), /^VERSION \/ empty program +\d\.\d\d +1\.05/m);
});

Deno.test("the documents' commands install an executable that runs, and uninstall it", async () => {
  using directory = new TestDirectory();
  const [bin, sbin] = ["bin", "sbin"].map((name) => `${directory.path}/${name}`) as [string, string];
  for (const path of [bin, sbin]) Deno.mkdirSync(path);
  const runBlock = (name: string) =>
    sh(blockNamed(name).replaceAll("/opt/cni/bin", bin).replaceAll("/usr/local/sbin", sbin));
  await runBlock("install");
  await runBlock("link");
  for (const program of [`${bin}/rdma`, `${sbin}/rdma-cni`]) {
    const { stdout } = await start({ program, args: ["--version"] });
    assertMatch(stdout, /^rdma-cni \d+\.\d+\.\d+\ncommit /);
  }
  assertEquals([directory.names("bin"), directory.names("sbin")], [[".rdma-cni", "rdma"], ["rdma-cni"]]);
  await runBlock("uninstall");
  assertEquals(directory.names("bin"), []);
});

Deno.test("the documents show what install prints", async () => {
  const session = `${blockNamed("install-session")}\n`;
  using directory = new TestDirectory();
  let seen = "";
  for (const [line, words] of session.matchAll(/^# rdma-cni (.*)\n/gm)) {
    const { stdout, stderr } = await start({
      args: words!.split(" ").map((word) => word.replace("/opt/cni/bin", directory.path)),
    });
    seen += line + (stderr + stdout).replaceAll(directory.path, "/opt/cni/bin");
  }
  const withoutHash = (text: string) => text.replaceAll(/-[0-9a-f]{12}:/g, "-HASH:");
  assertEquals(withoutHash(seen), withoutHash(session));
});

Deno.test("what the documents hand to kubectl is valid, or is built of what is", async () => {
  const examples = Deno.readTextFileSync(`${PROJECT}examples/README.md`);
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
  const patched = pods.map(({ volumes, securityContext }) => [
    volumes!.map(({ hostPath }) => hostPath!.path).join(),
    securityContext!.seLinuxOptions?.type,
  ]);
  assertEquals(patched, [
    ["/opt/cni/bin,/run/rdma-cni", undefined],
    ["/var/lib/rancher/k3s/data/cni", undefined],
    ["/var/lib/cni/bin", "spc_t"],
  ]);
  const values = { agent: { enabled: true, metrics: { enabled: true } } };
  const [helm] = await (await Helm.get("4.1.4")).render(values);
  assertEquals(pods[0]!.containers, (helm!.manifest as IDaemonSet).spec!.template.spec!.containers);
});

for (const { name, unit, target } of UNITS) {
  Deno.test(`the documents' command has ${target} start ${unit}`, async () => {
    using root = new TestDirectory();
    const directory = "/etc/systemd/system";
    await Deno.mkdir(`${root.path}${directory}`, { recursive: true });
    const command = blockNamed(name).replace(directory, root.path + directory)
      .replace("systemctl enable --now", `systemctl --root=${root.path} enable`);
    await sh(command.replace(/systemctl (?!--root)/, `systemctl --root=${root.path} `));
    const wanted = await Deno.readLink(`${root.path}${directory}/${target}.wants/${unit}`);
    assertEquals(wanted, `${directory}/${unit}`);
  });
}

Deno.test("every error code is in the documents", () => {
  for (const code of Object.values(ErrorCode)) assertMatch(DOCUMENTS, new RegExp(`^\\| ${code} +\\|`, "m"));
});
