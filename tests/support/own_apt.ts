import { createHash } from "node:crypto";

/** An address at which nothing listens. */
export const DEAD_MIRROR = "http://127.0.0.1:1/";

/** An apt with lists, cache, locks and packages in a directory of its own, and with one mirror. */
export class OwnApt implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  /** Variables that make apt-get this one. */
  readonly env = { APT_CONFIG: `${this.directory}/apt.conf`, no_proxy: "127.0.0.1" };

  /** @param settings more of apt's, as in apt.conf */
  constructor(mirror: string, settings = "") {
    const { directory } = this;
    for (const needed of ["lists/partial", "cache/archives/partial", "root/var/lib/dpkg", "etc"]) {
      Deno.mkdirSync(`${directory}/${needed}`, { recursive: true });
    }
    for (const name of ["status", "available"]) {
      Deno.writeTextFileSync(`${directory}/root/var/lib/dpkg/${name}`, "");
    }
    Deno.writeTextFileSync(`${directory}/etc/sources.list`, `deb [trusted=yes] ${mirror} trixie main\n`);
    Deno.writeTextFileSync(
      this.env.APT_CONFIG,
      `Dir::Etc "${directory}/etc";
Dir::State::lists "${directory}/lists";
Dir::State::status "${directory}/root/var/lib/dpkg/status";
Dir::Cache "${directory}/cache";
Dir::Log "${directory}";
DPkg::Options { "--root=${directory}/root"; "--log=${directory}/dpkg.log"; };
APT::Sandbox::User "root";
Acquire::Retries "0";
${settings}`,
    );
  }

  async within<T>(work: () => Promise<T>): Promise<T> {
    const before = Object.keys(this.env).map((name) => [name, Deno.env.get(name)] as const);
    for (const [name, value] of Object.entries(this.env)) Deno.env.set(name, value);
    try {
      return await work();
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) Deno.env.delete(name);
        else Deno.env.set(name, value);
      }
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** A mirror of Debian with suites that have one small package. */
export class Mirror implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** @param status what it answers when asked for anything else */
  constructor(suites: readonly string[], status = 404) {
    const files = new Map(suites.flatMap((suite) => filesOf(suite)));
    const onListen = () => {};
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen }, ({ url }) => {
      const text = files.get(new URL(url).pathname);
      return new Response(text ?? null, { status: text === undefined ? status : 200 });
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

function filesOf(suite: string): [path: string, text: string][] {
  const list = "main/binary-amd64/Packages";
  const packages = `Package: one\nVersion: 1\nArchitecture: all\nFilename: one.deb\nSize: 1\nSHA256: ${
    "0".repeat(64)
  }\n`;
  const hash = createHash("sha256").update(packages).digest("hex");
  const release = `Origin: Debian
Label: Debian
Suite: ${suite}
Codename: ${suite}
Date: Thu, 01 Jan 2026 00:00:00 UTC
Architectures: all amd64 arm64
Components: main
SHA256:
 ${hash} ${packages.length} ${list}
`;
  return [[`/dists/${suite}/Release`, release], [`/dists/${suite}/${list}`, packages]];
}
