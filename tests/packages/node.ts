import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { blockNamed } from "../support/documents.ts";
import type { Outcome } from "../support/program.ts";
import { OTHER_VERSION } from "./content.ts";
import type { Root } from "./root.ts";

const DIRECTORY = "/opt/cni/bin";
const PLUGIN = `${DIRECTORY}/rdma`;
const SETTINGS = "/etc/rdma-cni.conf";

/** A record of the Go plugin, which has few keys. */
const RECORD = "/var/lib/cni/rdma/roce-5d1f0c3b9a7e-net1";
const RECORD_TEXT = '{"version":"1.0","deviceID":"0000:3b:00.2","sandboxRdmaDevName":"mlx5_3"}';

const UNITS = ["agent", "netns-mode", "vf-mac"].map((name) => `rdma-cni-${name}.service`);

/** Units of version 0.2.0, which no package has any more. */
const TIMERS = ["rdma-cni-gc.timer", "rdma-cni-metrics.timer"];

const dpkg = (root: Root, ...args: string[]) => root.work("dpkg", `--root=${root.path}`, ...args);
const rpm = (root: Root, ...args: string[]) => root.work("rpm", "--root", root.path, ...args);

/** What installs a package in the place of any other version, removes it, and removes what is left after that. */
export const MANAGERS = {
  deb: {
    install: (root: Root, file: string) => dpkg(root, "--install", file),
    remove: (root: Root) => dpkg(root, "--remove", "rdma-cni"),
    purge: (root: Root) => dpkg(root, "--purge", "rdma-cni"),
    query: (root: Root) =>
      root.run("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "rdma-cni"),
  },
  rpm: {
    // The root file system is a Debian, so rpm finds nothing there that a package depends on.
    install: (root: Root, file: string) => rpm(root, "--upgrade", "--oldpackage", "--nodeps", file),
    remove: (root: Root) => rpm(root, "--erase", "rdma-cni"),
    purge: (root: Root) => root.work("rm", root.at(`${SETTINGS}.rpmsave`)),
    query: (root: Root) => rpm(root, "--query", "--queryformat", "installed %{VERSION}", "rdma-cni"),
  },
};

export interface Node {
  readonly root: Root;
  readonly manager: typeof MANAGERS[keyof typeof MANAGERS];
  /** The package, and one of {@linkcode OTHER_VERSION} with another program. */
  readonly file: string;
  readonly otherFile: string;
}

async function done(work: Promise<Outcome>): Promise<Outcome> {
  const outcome = await work;
  assertEquals(outcome.code, 0, outcome.stdout + outcome.stderr);
  return outcome;
}

function runBlock(root: Root, name: string): Promise<Outcome> {
  return root.run("sh", "-c", blockNamed(name));
}

async function assertAnswers(root: Root): Promise<void> {
  const { code, json, stderr } = await root.call(PLUGIN, "VERSION");
  assertEquals([code, json?.supportedVersions.at(-1)], [0, "1.1.0"], stderr);
}

async function enabledUnits(root: Root): Promise<string[]> {
  const { stdout } = await root.run("systemctl", "is-enabled", ...UNITS);
  const states = stdout.trim().split("\n");
  assertEquals(states.length, UNITS.length);
  return UNITS.filter((_, index) => states[index] === "enabled");
}

/** The life of a package on a node; each step finds what the one before it has left. */
export const nodeSteps: Record<string, (node: Node) => Promise<void>> = {
  "is installed where there is no CNI directory, and says so": async ({ root, manager, file }) => {
    const { stderr } = await done(manager.install(root, file));
    assertStringIncludes(stderr, `CNI_BIN_DIR ${DIRECTORY} does not exist`);
    assertStringIncludes((await root.run("rdma-cni", "--version")).stdout, `rdma-cni ${VERSION}\n`);
  },

  "installs a plugin that answers": async ({ root }) => {
    root.makeDirectory(DIRECTORY);
    await done(runBlock(root, "package-plugin"));
    await assertAnswers(root);
  },

  "brings units that start its command, once somebody enables them": async ({ root }) => {
    const units = root.names("/usr/lib/systemd/system").filter((name) => name.startsWith("rdma-cni-"));
    assertEquals(UNITS.filter((unit) => !units.includes(unit)), []);
    assertEquals((await done(root.run("systemd-analyze", "verify", "--man=no", ...units))).stderr, "");
    const texts = units.map((unit) => root.read(`/usr/lib/systemd/system/${unit}`)).join("");
    const programs = [...new Set(texts.match(/^ExecStart=.*rdma\S*/gm))].sort();
    assertEquals(programs, ["ExecStart=/usr/bin/env ${CNI_BIN_DIR}/rdma", "ExecStart=/usr/sbin/rdma-cni"]);
    assertEquals([texts.includes(DIRECTORY), await enabledUnits(root)], [false, []]);
    await done(runBlock(root, "package-units"));
    assertEquals(await enabledUnits(root), UNITS);
  },

  "is upgraded while the plugin runs: no call fails, settings and units stay, timers of 0.2.0 go with advice":
    async (
      { root, manager, file, otherFile },
    ) => {
      for (const timer of TIMERS) {
        const path = `/usr/lib/systemd/system/${timer}`;
        root.write(path, "[Timer]\nOnBootSec=5min\n\n[Install]\nWantedBy=timers.target\n");
        await done(root.run("systemctl", "enable", timer));
        if (manager !== MANAGERS.deb) continue; // rpm removes old files last, after the scripts
        const asDpkg = "DPKG_MAINTSCRIPT_PACKAGE=rdma-cni";
        await done(root.run("env", asDpkg, "deb-systemd-helper", "update-state", timer));
        Deno.removeSync(root.at(path));
      }
      root.set("AGENT_OPTIONS", "--gc-interval 1h");
      const settings = root.read(SETTINGS);
      let [isUpgrading, calls] = [true, 0];
      const callAgainAndAgain = async () => {
        for (; isUpgrading; calls++) await assertAnswers(root);
      };
      const upgrade = async () => {
        const programs = new Set<string>();
        for (const [version, path] of [[OTHER_VERSION, otherFile], [VERSION, file]] as const) {
          const { stderr } = await done(manager.install(root, path));
          const advice = TIMERS.map((timer) =>
            `${timer} is gone. In its place run "systemctl enable --now rdma-cni-agent.service"`
          );
          const told = advice.filter((line) => stderr.includes(line));
          assertEquals(told, version === VERSION ? [] : advice);
          for (const timer of TIMERS) await done(root.run("rm", "-f", `/usr/lib/systemd/system/${timer}`));
          assertEquals((await manager.query(root)).stdout, `installed ${version}`);
          programs.add(Deno.readLinkSync(root.at(`${DIRECTORY}/.rdma-cni/current`)));
        }
        assertEquals(programs.size, 2);
      };
      const work = [upgrade().finally(() => isUpgrading = false), callAgainAndAgain()];
      // A failed call does not end the upgrade, which the next step must not meet.
      for (const { reason } of await Promise.allSettled(work) as PromiseRejectedResult[]) {
        if (reason) throw reason;
      }
      assert(calls > 10, `only ${calls} calls were made`);
      assertEquals([root.read(SETTINGS), await enabledUnits(root)], [settings, UNITS]);
      assertEquals((await root.files()).filter((path) => TIMERS.some((timer) => path.includes(timer))), []);
    },

  "stays while pods need the plugin": async ({ root, manager }) => {
    root.write(RECORD, RECORD_TEXT);
    const { code, stderr } = await manager.remove(root);
    assert(code !== 0);
    assertMatch(stderr, /has the record of a pod that needs it.*\nDrain the node first/);
    assertStringIncludes(stderr, `run "${blockNamed("package-force")}" first`);
    assertMatch((await manager.query(root)).stdout, /^installed /);
    await assertAnswers(root);
    assertEquals(await enabledUnits(root), UNITS);
  },

  "is removed by force in spite of a record, which stays, and only where the settings say": async (
    { root, manager },
  ) => {
    root.set("CNI_BIN_DIR", "");
    await done(runBlock(root, "package-force"));
    await assertAnswers(root);
    root.set("CNI_BIN_DIR", DIRECTORY);
    await done(runBlock(root, "package-force"));
    await done(manager.remove(root));
    await done(manager.purge(root));
    assertEquals(root.read(RECORD), RECORD_TEXT);
  },

  "leaves nothing when it is removed": async ({ root, manager, file }) => {
    Deno.removeSync(root.at("/var/lib/cni"), { recursive: true });
    const before = await root.files();
    await done(manager.install(root, file));
    await assertAnswers(root);
    await done(runBlock(root, "package-units"));
    root.set("AGENT_OPTIONS", "--gc-interval 1h");
    root.makeDirectory("/var/lib/cni/rdma"); // as the first ADD does
    await done(manager.remove(root));
    await done(manager.purge(root));
    const left = (await root.files()).filter((path) => !before.includes(path) || path.includes("rdma-cni"));
    assertEquals(left, ["/var/lib/cni"]);
  },
};
