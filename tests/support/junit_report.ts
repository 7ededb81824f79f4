export interface Counts {
  passed: number;
  failed: number;
  ignored: number;
}

/** Adds up the suites of a JUnit report; test steps are cases of their own there. */
export function countCases(report: string): Counts {
  const counts = { passed: 0, failed: 0, ignored: 0 };
  const suite = /<testsuite name="[^"]*" tests="(\d+)" disabled="(\d+)" errors="(\d+)" failures="(\d+)"/g;
  for (const match of report.matchAll(suite)) {
    const [tests = 0, disabled = 0, errors = 0, failures = 0] = match.slice(1).map(Number);
    counts.passed += tests - disabled - errors - failures;
    counts.failed += errors + failures;
    counts.ignored += disabled;
  }
  return counts;
}

/** The tests that failed by a JUnit report, each with the reason: the beginning of a long one, and where it failed. */
export function listFailures(report: string): string[] {
  const failure = /<testcase name="([^"]*)"[^>]*>\s*<(?:failure|error) message="[^"]*">([^<]*)/g;
  return [...report.matchAll(failure)].map(([, name = "", reason = ""]) => {
    const lines = unescapeXml(reason).split("\n").filter((line) => line.trim() && !line.includes("(ext:"));
    return [`${unescapeXml(name)}: ${lines[0]}`, ...lines.slice(1, 12), ...lines.slice(12).slice(-2)].join(
      "\n",
    );
  });
}

/** How long the tests of each file took by a JUnit report, in milliseconds. */
export function timeFiles(report: string): Map<string, number> {
  const times = new Map<string, number>();
  const test = /<testcase name="[^"]*" classname="\.\/([^"]*)" time="([\d.]+)"/g;
  for (const [, path = "", seconds] of report.matchAll(test)) {
    times.set(path, (times.get(path) ?? 0) + Number(seconds) * 1000);
  }
  return times;
}

function unescapeXml(text: string): string {
  const characters: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(\w+);/g, (entity, name: string) => characters[name] ?? entity);
}
