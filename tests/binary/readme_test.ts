// The README's commands and configurations. Its demo and test commands are run by tests/vm/demo_test.ts and by CI, those
// that build the image by tests/image.
import { parseConfig } from "../../src/cni/config.ts";
import { assertEquals, assertMatch } from "../assert.ts";
import { BUILD, BUILD_BEHIND_MIRROR } from "../image/build.ts";

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
const PROJECT = new URL("../..", import.meta.url);

/** The code blocks of a language. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, text]) =>
    text!.trim()
  );
}

const DENO = "npx --yes deno@2.7.11 run -A";
const INSTALL =
  "install -m 755 dist/rdma-cni /opt/cni/bin/rdma.new && mv /opt/cni/bin/rdma.new /opt/cni/bin/rdma";
const LINK = "ln -s /opt/cni/bin/rdma /usr/local/sbin/rdma-cni";
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
    BUILD,
    BUILD_BEHIND_MIRROR,
    LINK,
    ...UNITS.map(({ enable }) => enable),
  ]);
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
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["rdma", "rdma-cni"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
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
  assertEquals(lists.length, 2);
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
