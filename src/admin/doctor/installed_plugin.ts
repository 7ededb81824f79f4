import { VERSION } from "../../version.ts";
import { type Answer, askVersion } from "../program_version.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { type Node, quote } from "./node.ts";

const INSTALLED = "/opt/cni/bin/rdma";
const TIME_LIMIT_MS = 5000;

/** Whether the plugin that runtimes start is this version. */
export async function examineInstalledPlugin({ root, executable }: Node): Promise<Finding[]> {
  const answer = await askVersion(`${root}${INSTALLED}`, AbortSignal.timeout(TIME_LIMIT_MS));
  const copy = `${INSTALLED}.new`;
  return [judgeAnswer(answer, `install -m 755 ${quote(executable)} ${copy} && mv ${copy} ${INSTALLED}`)];
}

/**
 * Judges what the installed plugin answered.
 *
 * @param install the command that puts this program there
 */
export function judgeAnswer(answer: Answer, install: string): Finding {
  switch (answer.kind) {
    case "absent":
      return problem("plugin", `${INSTALLED} is not there: runtimes find no plugin "rdma"`, install);
    case "failed":
      return problem("plugin", `${INSTALLED} cannot be run: ${answer.reason}`, install);
    case "silent":
      return problem(
        "plugin",
        `${INSTALLED} does not answer to --version within ${TIME_LIMIT_MS / 1000} s`,
        install,
      );
  }
  const [, version] = /^rdma-cni (\d\S*)$/m.exec(answer.text) ?? [];
  if (version === VERSION) return ok("plugin", `${INSTALLED} is version ${version}`);
  if (version !== undefined) {
    return warning("plugin", `${INSTALLED} is version ${version}, this program is ${VERSION}`, install);
  }
  return isGoPlugin(answer.text)
    ? warning("plugin", `${INSTALLED} is the Go plugin, not this one`, install)
    : warning(
      "plugin",
      `${INSTALLED} is another program: it answers ${JSON.stringify(firstLine(answer.text))}`,
      install,
    );
}

/** Early releases know no options and complain as every plugin does without CNI_COMMAND; later ones tell a version. */
function isGoPlugin(text: string): boolean {
  return /^rdma-cni version:/m.test(text) || /CNI_COMMAND/.test(text);
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!.slice(0, 100);
}
