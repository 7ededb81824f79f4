// The README's commands and configurations. Its demo and test commands are run by tests/vm/demo_test.ts and by CI, those
// that build the image by tests/image.
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import { parseConfig } from "../../src/cni/config.ts";
import { assertEquals, assertMatch } from "../assert.ts";
import { BUILD, BUILD_BEHIND_MIRROR } from "../image/build.ts";
import { PROGRAM, start } from "./program.ts";
import { checkTypes, validate } from "../files/kubernetes_schema.ts";
import { buildFolder, buildText, MANIFEST_FILES } from "../files/manifests.ts";

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
const PROJECT = new URL("../..", import.meta.url);

/** The code blocks of a language. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, text]) =>
    text!.trim()
  );
}

const DENO = "npx --yes deno@2.7.11 run -A";
const INSTALL = "dist/rdma-cni install --cni-bin-dir /opt/cni/bin";
const LINK = "ln -s /opt/cni/bin/rdma /usr/local/sbin/rdma-cni";
const CLUSTER = {
  apply: ["kubectl apply -f deployment/rdma-cni-daemonset.yaml", "kubectl apply -k examples/cluster"],
  delete: "kubectl delete -k examples/cluster",
  uninstall: "/opt/cni/bin/rdma install --uninstall --cni-bin-dir /opt/cni/bin",
};
/** tests/files/doctor_multus_test.ts has it applied. */
const RAISE_LIMITS = `kubectl -n kube-system patch daemonset kube-multus-ds --patch \\
  '{"spec":{"template":{"spec":{"containers":[{"name":"kube-multus","resources":{"limits":{"memory":"256Mi","cpu":null}}}]}}}}'`;
const BENCH = "deno task bench --peer /path/to/another/rdma";
const VERIFY = `grep "$(sha256sum dist/rdma-cni | cut -d ' ' -f 1)" dist/rdma-cni.cdx.json`;
const UNITS = [
  { unit: "rdma-cni-netns-mode.service", target: "sysinit.target" },
  { unit: "rdma-cni-vf-mac.service", target: "multi-user.target" },
].map(({ unit, target }) => {
  const enable = `install -m 644 deployment/${unit} /etc/systemd/system/ && systemctl enable ${unit}`;
  return { unit, target, enable };
});

Deno.test("the README's commands are those that are run by tests", () => {
  assertEquals(blocks("sh"), [
    `${DENO} tests/vm/demo.ts`,
    `${DENO} tests/run.ts`,
    `${DENO} deployment/build.ts`,
    INSTALL,
    ...CLUSTER.apply,
    CLUSTER.delete,
    CLUSTER.uninstall,
    BUILD,
    BUILD_BEHIND_MIRROR,
    LINK,
    ...UNITS.map(({ enable }) => enable),
    RAISE_LIMITS,
    VERIFY,
    BENCH,
  ]);
});

Deno.test("the README's command finds the executable in its bill of materials, and another one not", async () => {
  const codeOf = async (command: string) =>
    (await new Deno.Command("sh", { args: ["-c", command], cwd: PROJECT }).output()).code;
  assertEquals([await codeOf(VERIFY), await codeOf(VERIFY.replace("dist/rdma-cni", "deno.json"))], [0, 1]);
});

Deno.test("the README's bench compares with the empty program, here without the simulated node", async () => {
  const script = BENCH.replace("deno task bench", "run -A tests/bench/main.ts --no-node --runs 30");
  const args = script.split(" ").map((word) => word === "/path/to/another/rdma" ? PROGRAM : word);
  const { code, stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: PROJECT }).output();
  assertEquals(code, 0);
  assertMatch(new TextDecoder().decode(stdout), /^VERSION \/ empty program +\d\.\d\d +1\.05/m);
});

Deno.test("the README's command installs an executable that runs", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const line of [INSTALL, LINK]) {
      const command = line.replaceAll("/opt/cni/bin", folder).replaceAll("/usr/local/sbin", folder);
      const { code } = await new Deno.Command("sh", { args: ["-c", command], cwd: PROJECT }).output();
      assertEquals(code, 0);
    }
    for (const name of ["rdma", "rdma-cni"]) {
      const { stdout } = await new Deno.Command(`${folder}/${name}`, { args: ["--version"] }).output();
      assertMatch(new TextDecoder().decode(stdout), /^rdma-cni \d+\.\d+\.\d+\n$/);
    }
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(names, [".rdma-cni", "rdma", "rdma-cni"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the README shows what install prints", async () => {
  const session = README.match(/^```\n(# rdma-cni install[^`]*)```$/m)![1]!;
  const folder = await Deno.makeTempDir();
  try {
    let seen = "";
    for (const [line, words] of session.matchAll(/^# rdma-cni (.*)\n/gm)) {
      const args = words!.replaceAll("/opt/cni/bin", folder).split(" ");
      const { stdout, stderr } = await start({ args });
      seen += line + (stderr + stdout).replaceAll(folder, "/opt/cni/bin");
    }
    const withoutHash = (text: string) => text.replaceAll(/-[0-9a-f]{12}:/g, "-HASH:");
    assertEquals(withoutHash(seen), withoutHash(session));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the README's command uninstalls what was installed", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { code } = await start({ args: ["install", "--cni-bin-dir", folder] });
    assertEquals([code, [...Deno.readDirSync(folder)].length], [0, 2]);
    const command = CLUSTER.uninstall.replaceAll("/opt/cni/bin", folder);
    const ended = await new Deno.Command("sh", { args: ["-c", command] }).output();
    assertEquals([ended.code, [...Deno.readDirSync(folder)]], [0, []]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what the READMEs hand to kubectl is valid, or is built of what is", async () => {
  const examples = Deno.readTextFileSync(new URL("examples/README.md", PROJECT));
  const commands = [...(README + examples).matchAll(/^(?:\$ )?kubectl (?:apply|delete) -([fk]) (\S+)$/gm)];
  assertEquals(commands.length, 8);
  for (const [, option, path] of commands) {
    if (option === "f") assertEquals(MANIFEST_FILES.includes(path!), true, path);
    else for (const { manifest } of await buildFolder(path!)) validate(manifest);
  }
});

Deno.test("the README's kustomizations patch what they are about", async () => {
  const built = (await Promise.all(blocks("yaml").map((text) => buildText(text)))).flat();
  assertEquals(await checkTypes(built), "");
  for (const { manifest } of built) validate(manifest);
  const daemonSets = built.map(({ manifest }) => manifest).filter(({ kind }) => kind === "DaemonSet");
  const pods = daemonSets.map((manifest) => (manifest as IDaemonSet).spec!.template.spec!);
  assertEquals(pods.map(({ volumes }) => volumes!.map(({ hostPath }) => hostPath!.path)), [
    ["/var/lib/rancher/k3s/data/cni"],
    ["/var/lib/cni/bin"],
  ]);
  assertEquals(pods.map(({ securityContext }) => securityContext!.seLinuxOptions?.type), [
    undefined,
    "spc_t",
  ]);
});

for (const { unit, target, enable } of UNITS) {
  Deno.test(`the README's command has ${target} start ${unit}`, async () => {
    const root = await Deno.makeTempDir();
    try {
      const folder = "/etc/systemd/system";
      await Deno.mkdir(`${root}${folder}`, { recursive: true });
      const command = enable.replace(folder, `${root}${folder}`).replace(
        "systemctl",
        `systemctl --root=${root}`,
      );
      const { code } = await new Deno.Command("sh", { args: ["-c", command], cwd: PROJECT }).output();
      assertEquals(code, 0);
      assertEquals(await Deno.readLink(`${root}${folder}/${target}.wants/${unit}`), `${folder}/${unit}`);
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}

Deno.test("the README's and the examples' configurations are accepted", async () => {
  const example = Deno.readTextFileSync(new URL("../../examples/roce.conflist", import.meta.url));
  const lists = [...blocks("json"), example].map((text) => JSON.parse(text));
  assertEquals(lists.length, 3);
  for (const { cniVersion, name, plugins } of lists) {
    const own = plugins.filter(({ type }: { type: string }) => type === "rdma");
    assertEquals(own.length, 1);
    for (const plugin of own) await parseConfig(JSON.stringify({ cniVersion, name, ...plugin }));
  }
});

Deno.test("every key of the configuration and every error code is in the README", async () => {
  const { configSchema } = await import("../../src/cni/config_schema.ts");
  const { ErrorCode } = await import("../../src/cni/error.ts");
  const standard = ["cniVersion", "name", "type", "args", "runtimeConfig", "prevResult"];
  for (const key of Object.keys(configSchema.shape)) {
    if (!standard.includes(key) && !key.startsWith("cni.dev/")) {
      assertMatch(README, new RegExp(`^\\| \`${key}\``, "m"));
    }
  }
  for (const code of Object.values(ErrorCode)) assertMatch(README, new RegExp(`^\\| ${code} +\\|`, "m"));
});
