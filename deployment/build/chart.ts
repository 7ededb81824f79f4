/** Writes the README of the Helm chart, and packs the chart. */
import { VERSION } from "../../src/version.ts";
import { makeChartReadme } from "./chart_readme.ts";
import { PROJECT, runChild } from "./child.ts";

const CHART = `${PROJECT}deployment/helm/rdma-cni`;

/** Writes the chart's README, see {@linkcode makeChartReadme}. */
async function writeChartReadme(): Promise<void> {
  const read = (name: string) => Deno.readTextFile(`${CHART}/${name}`);
  const readme = makeChartReadme(await read("Chart.yaml"), await read("values.yaml"));
  await Deno.writeTextFile(`${CHART}/README.md`, readme);
}

/**
 * Packs the chart as `helm package` does, so that the same files give the same bytes wherever and whenever that is done.
 *
 * @param directory the place for it; made if it is missing
 * @returns its path
 */
export async function packChart(directory: string): Promise<string> {
  await Deno.mkdir(directory, { recursive: true });
  const path = `${await Deno.realPath(directory)}/rdma-cni-${VERSION}.tgz`;
  await runChild("tar", [
    ...["--create", "--file", path, "--use-compress-program", "gzip --no-name"],
    ...["--format=ustar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"],
    ...["--mode=u=rwX,go=rX", "--directory", `${PROJECT}deployment/helm`, "rdma-cni"],
  ], { cwd: PROJECT, env: { PATH: Deno.env.get("PATH") ?? "", LC_ALL: "C" } });
  return path;
}

if (import.meta.main) {
  await writeChartReadme();
  console.log(await packChart(`${PROJECT}dist/packages`));
}
