import { createHash } from "node:crypto";
import { VERSION } from "../../src/version.ts";
import { assertEquals } from "../support/assert.ts";
import { ARCHITECTURES, buildAgain, IMAGE } from "./build.ts";
import type { Cases, Engine } from "./engine.ts";

const LIBRARIES = [
  ...["libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libmnl.so.0", "libmnl.so.0.2.0"],
  ...["libpthread.so.0", "librt.so.1"],
];
const LICENSED = ["catatonit", "gcc-14-base", "libc6", "libgcc-s1", "libmnl0"];

/** The program's loader, at the path that is written in the program, and what leads to the libraries. */
const LOADERS: Record<string, string[]> = {
  amd64: ["lib", "lib64", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"],
  arm64: ["lib", "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", "usr/lib/ld-linux-aarch64.so.1"],
};

const TRIPLETS: Record<string, string> = { amd64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

interface Entry {
  path: string;
  mode: number;
  size: number;
}

/** All below a directory that is not a directory. */
function entriesIn(directory: string, below = ""): Entry[] {
  return [...Deno.readDirSync(`${directory}/${below}`)].flatMap(({ name, isDirectory }) => {
    const path = `${below}${name}`;
    if (isDirectory) return entriesIn(directory, `${path}/`);
    const { mode, size } = Deno.lstatSync(`${directory}/${path}`);
    return [{ path, mode: mode!, size }];
  });
}

const SET_ID = 0o6000;

async function assertContent(engine: Engine, architecture: string): Promise<void> {
  const entries = entriesIn((await engine.unpack(IMAGE, architecture)).root);
  const isLicense = ({ path }: Entry) => path.startsWith("usr/share/common-licenses/");
  const wanted = [
    ...["rdma-cni", "rdma-cni.cdx.json", "rdma-cni.licenses.txt", "usr/bin/catatonit"],
    ...LOADERS[architecture]!,
    ...LIBRARIES.map((name) => `usr/lib/${TRIPLETS[architecture]}/${name}`),
    ...LICENSED.map((name) => `usr/share/doc/${name}/copyright`),
  ];
  assertEquals(entries.filter((entry) => !isLicense(entry)).map(({ path }) => path).sort(), wanted.sort());
  const licenses = entries.filter(isLicense).map(({ path }) => path.split("/").at(-1));
  assertEquals(["GPL-2", "GPL-3", "LGPL-2.1"].filter((name) => !licenses.includes(name)), []);
  assertEquals(entries.filter(({ mode }) => (mode & SET_ID) !== 0), []);
  const size = entries.reduce((sum, entry) => sum + entry.size, 0);
  console.error(`image: ${(size / 1e6).toFixed(1)} MB for ${architecture}`);
}

export const contentCases: Cases = {
  "holds the program, what it loads, licences, and nothing else": async (engine) => {
    for (const architecture of ARCHITECTURES) await assertContent(engine, architecture);
  },

  "lists what its program is made of": async (engine) => {
    for (const architecture of ARCHITECTURES) {
      const { root } = await engine.unpack(IMAGE, architecture);
      const program = createHash("sha256").update(await Deno.readFile(`${root}/rdma-cni`)).digest("hex");
      const bill = JSON.parse(await Deno.readTextFile(`${root}/rdma-cni.cdx.json`));
      assertEquals(bill.metadata.component.hashes, [{ alg: "SHA-256", content: program }]);
      const licenses = await Deno.readTextFile(`${root}/rdma-cni.licenses.txt`);
      const named = Array.from(licenses.matchAll(/^== (\S+)/gm), ([, name]) => name);
      const components: { name: string }[] = [bill.metadata.component, ...bill.components];
      assertEquals(named, components.map(({ name }) => name));
    }
  },

  "tells what it is, and that it takes the arguments of the Go plugin's image": async (engine) => {
    for (const wanted of ARCHITECTURES) {
      const { architecture, config: { Entrypoint, Cmd, Labels } } =
        (await engine.unpack(IMAGE, wanted)).config;
      assertEquals([architecture, Entrypoint, Cmd], [wanted, ["/rdma-cni", "entrypoint"], undefined]);
      const told = ["title", "version", "licenses"].map((key) => Labels[`org.opencontainers.image.${key}`]);
      assertEquals(told, ["rdma-cni", VERSION, "Apache-2.0"]);
    }
  },

  // That the program comes out the same is shown by tests/binary/build_test.ts, in another directory even.
  "is the same, byte for byte, when it is built again of the same program": async (engine) => {
    const { root, config } = await engine.unpack(IMAGE, "amd64");
    const program = await Deno.makeTempDir({ dir: engine.directory });
    await engine.run("sh", ["-c", `mkdir "$0/out" && cp --archive "$1"/rdma-cni* "$0/out"`, program, root]);
    const again = "localhost/again";
    await buildAgain(engine, again, program);
    const { rootfs } = (await engine.unpack(again, "amd64")).config;
    assertEquals(rootfs.diff_ids, config.rootfs.diff_ids);
  },
};
