/** Network configurations of this node. */
import { quote } from "../../node/fate.ts";
import { ok, problem, type Verdict } from "../report.ts";
import { exists, list } from "../../kernel/sysfs.ts";
import { formatPlace, judgeText } from "../validate/validate.ts";
import { findLimitsObstacle } from "./limits.ts";
import { findRuntime } from "./runtime.ts";

/** The directories of runtimes whose configuration does not say otherwise, and OpenShift's. */
const DIRECTORIES = ["/etc/cni/net.d", "/etc/kubernetes/cni/net.d"];

/** Examines the networks in all directories where a runtime looks. Those of Multus are in the cluster. */
export async function examineNetworks(root: string): Promise<Verdict[]> {
  const { networkDirectory = DIRECTORIES[0]! } = findRuntime(root) ?? {};
  const directories = [...new Set([...DIRECTORIES, networkDirectory])];
  const findings = await Promise.all(directories.map((directory) => examineDirectory(root, directory)));
  if (findings.flat().length > 0) return findings.flat();
  const present = directories.filter((directory) => exists(`${root}${directory}`));
  return [ok(`none in ${present.join(", ") || DIRECTORIES[0]} uses "rdma"`)];
}

async function examineDirectory(root: string, directory: string): Promise<Verdict[]> {
  // The extensions that libcni accepts (libcni/conf.go, ConfFiles).
  const files = list(`${root}${directory}`).filter((name) => /\.(conf|conflist|json)$/.test(name));
  const findings: Verdict[] = [];
  const good: string[] = [];
  for (const name of files) {
    const own = await examineFile(root, `${directory}/${name}`);
    if (own?.every(({ level }) => level === "note")) good.push(name);
    findings.push(...own ?? []);
  }
  return good.length > 0 ? [ok(`in ${directory}: ${good.join(", ")}`), ...findings] : findings;
}

/** The findings on a file; none if it is good, undefined if it does not use the plugin. */
async function examineFile(root: string, file: string): Promise<Verdict[] | undefined> {
  let text: string;
  try {
    text = Deno.readTextFileSync(`${root}${file}`);
  } catch (error) {
    return [problem(`${file} cannot be read: ${(error as Error).message}`, `ls -l ${quote(file)}`)];
  }
  const findings = await judgeNetworkFile(file, text);
  const obstacle = findings && /"rdmaLimits"\s*:\s*\{/.test(text) ? findLimitsObstacle(root) : undefined;
  if (!findings || !obstacle) return findings;
  return [...findings, problem(`${file} has "rdmaLimits", so ADD fails: ${obstacle.text}`, obstacle.fix)];
}

/**
 * Judges a network configuration that uses this plugin.
 *
 * @param file its path; runtimes accept a list of plugins only in a `.conflist`
 * @returns undefined when it does not use the plugin
 */
export async function judgeNetworkFile(file: string, text: string): Promise<Verdict[] | undefined> {
  if (!/rdma/i.test(text)) return undefined;
  const { verdicts } = await judgeText(text);
  if (verdicts.length === 0) return undefined;
  const findings = verdicts.filter(({ level }) => level !== "ok").map((verdict): Verdict => ({
    level: verdict.level,
    text: `${formatPlace({ file, ...verdict })}: ${verdict.text}`,
    fix: verdict.fix === undefined ? `# correct ${file}` : `# ${verdict.fix} in ${file}`,
  }));
  if (file.endsWith(".conflist") || !/"plugins"\s*:/.test(text)) return findings;
  const rename = `mv ${quote(file)} ${quote(file.replace(/\.[^.]*$/, ".conflist"))}`;
  return [problem(`${file} has a list of plugins, but is no .conflist`, rename), ...findings];
}
