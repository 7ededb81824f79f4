/** Network configurations of this node. */
import { list } from "../../kernel/sysfs.ts";
import { isObject } from "../../plugin/rules.ts";
import { judgeNetwork } from "../validate/network.ts";
import { type Finding, ok, problem } from "./finding.ts";

const DIRECTORY = "/etc/cni/net.d";

/**
 * The network configurations that use this plugin. Those of Multus are in the cluster's API server, out of
 * reach.
 */
export async function examineNetworks(root: string): Promise<Finding[]> {
  // The extensions that libcni accepts (libcni/conf.go, ConfFiles).
  const files = list(`${root}${DIRECTORY}`).filter((name) => /\.(conf|conflist|json)$/.test(name));
  const findings: Finding[] = [];
  const good: string[] = [];
  for (const name of files) {
    const own = await examineFile(root, `${DIRECTORY}/${name}`);
    if (own?.every(({ level }) => level === "note")) good.push(name);
    findings.push(...own ?? []);
  }
  if (good.length > 0) return [ok("networks", `in ${DIRECTORY}: ${good.join(", ")}`), ...findings];
  return findings.length > 0 ? findings : [ok("networks", `none in ${DIRECTORY} uses "rdma"`)];
}

/** The findings on a file; none if it is good, undefined if it does not use the plugin. */
async function examineFile(root: string, file: string): Promise<Finding[] | undefined> {
  try {
    return await judgeNetworkFile(file, Deno.readTextFileSync(`${root}${file}`));
  } catch (error) {
    return [problem("networks", `${file} cannot be read: ${(error as Error).message}`, `ls -l ${file}`)];
  }
}

/**
 * What is wrong with a network configuration that uses this plugin.
 *
 * @param file its path; runtimes accept a list of plugins only in a `.conflist`
 * @returns undefined when it does not use the plugin
 */
export async function judgeNetworkFile(file: string, text: string): Promise<Finding[] | undefined> {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    if (!/"rdma"/.test(text)) return undefined;
    return [problem("networks", `${file} is not JSON: ${(error as Error).message}`, `correct ${file}`)];
  }
  const verdicts = isObject(raw) ? await judgeNetwork(raw) : undefined;
  if (!verdicts) return undefined;
  const findings = verdicts.map(({ level, text, fix }): Finding => ({
    group: "networks",
    level,
    text: `${file}: ${text}`,
    fix: fix === undefined ? `correct ${file}` : `${fix} in ${file}`,
  }));
  if (!("plugins" in (raw as object)) || file.endsWith(".conflist")) return findings;
  return [
    problem("networks", `${file} has a list of plugins, but is no .conflist`, `rename ${file}`),
    ...findings,
  ];
}
