import { list } from "../../kernel/sysfs.ts";
import { type Finding, ok, problem } from "./finding.ts";
import { judgeNetworkFile } from "./network_file.ts";

const FOLDER = "/etc/cni/net.d";

/** The network configurations that use this plugin. Multus' own are in the cluster's API server, out of reach here. */
export async function examineNetworks(root: string): Promise<Finding[]> {
  // The endings that libcni takes (libcni/conf.go, ConfFiles).
  const files = list(`${root}${FOLDER}`).filter((name) => /\.(conf|conflist|json)$/.test(name));
  const findings: Finding[] = [];
  const good: string[] = [];
  for (const name of files) {
    const own = await examineFile(root, `${FOLDER}/${name}`);
    if (own?.length === 0) good.push(name);
    findings.push(...own ?? []);
  }
  if (good.length > 0) return [ok("networks", `in ${FOLDER}: ${good.join(", ")}`), ...findings];
  return findings.length > 0 ? findings : [ok("networks", `none in ${FOLDER} uses "rdma"`)];
}

/** Findings; none for a good file, undefined for one that does not use the plugin. */
async function examineFile(root: string, file: string): Promise<Finding[] | undefined> {
  try {
    return await judgeNetworkFile(file, Deno.readTextFileSync(`${root}${file}`));
  } catch (error) {
    return [problem("networks", `${file} cannot be read: ${(error as Error).message}`, `ls -l ${file}`)];
  }
}
