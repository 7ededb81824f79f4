import { isObject } from "../validate/raw.ts";
import { judgeNetwork } from "../validate/network.ts";
import { type Finding, problem } from "./finding.ts";

/**
 * What is wrong with a network configuration that uses this plugin.
 *
 * @param file its path; only in a `.conflist` do runtimes take a list of plugins
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
