/** The README of the Helm chart, which is made of Chart.yaml and of the comments in values.yaml. */
import { parseYaml } from "../../src/cli/validate/yaml.ts";
import { formatTable } from "./markdown.ts";

/** A value of the chart for people. */
interface DescribedValue {
  /** With the names of the objects that it is in: `agent.metrics.port`. */
  readonly name: string;
  readonly fallback: unknown;
  readonly description: string;
}

/**
 * Makes the README of a chart.
 *
 * @param chart the text of Chart.yaml
 * @param values the text of values.yaml
 * @throws {Error} naming a value without a comment
 */
export function makeChartReadme(chart: string, values: string): string {
  const { name, description, kubeVersion = "" } = parseOne(chart) as Record<string, string>;
  const rows = describeValues(values).map((value) => [
    `\`${value.name}\``,
    `\`${JSON.stringify(value.fallback)}\``,
    value.description,
  ]);
  return `<!-- Made of Chart.yaml and values.yaml by "deno task chart". -->

# ${name}

${description}.

It needs Kubernetes ${
    /\d+\.\d+/.exec(kubeVersion!)
  } or newer. Install it once in a cluster, in a namespace that may have privileged pods:

\`\`\`sh
helm upgrade --install ${name} CHART --namespace kube-system --set image.repository=REPOSITORY
\`\`\`

\`docs/deployment.md\` in the sources says what the nodes and the cluster need. Values that are unknown or wrong
are refused.

## Values

${formatTable([["value", "default", "what it does"], ...rows])}
`;
}

/** The values that have a comment, in their order; no value may be without, unless the whole that it is in has one. */
function describeValues(text: string): DescribedValue[] {
  const comments = readComments(text);
  const describe = (name: string, value: unknown): DescribedValue[] => {
    const hasInner = [...comments.keys()].some((key) => key.startsWith(`${name}.`));
    if (hasInner) {
      return Object.entries(value as object).flatMap(([key, inner]) => describe(`${name}.${key}`, inner));
    }
    const description = comments.get(name);
    if (description === undefined) {
      throw new Error(`Cannot describe "${name}": values.yaml has no comment above it`);
    }
    return [{ name, fallback: value, description }];
  };
  return Object.entries(parseOne(text) as object).flatMap(([key, value]) => describe(key, value));
}

/** The comments above keys, by the keys' paths. */
function readComments(text: string): Map<string, string> {
  const comments = new Map<string, string>();
  const path: { key: string; indent: number }[] = [];
  let above: string[] = [];
  for (const line of text.split("\n")) {
    const [, comment] = /^ *# (.*)$/.exec(line) ?? [];
    if (comment !== undefined) {
      above.push(comment);
      continue;
    }
    const [, { length: indent } = "", key] = /^( *)([\w-]+):/.exec(line) ?? [];
    if (key !== undefined) {
      while (path.length > 0 && path.at(-1)!.indent >= indent) path.pop();
      path.push({ key, indent });
      if (above.length > 0) comments.set(path.map((one) => one.key).join("."), above.join(" "));
    }
    above = [];
  }
  return comments;
}

function parseOne(text: string): unknown {
  return parseYaml(text)[0]!.value;
}
