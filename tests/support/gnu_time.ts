const GNU_TIME = "/usr/bin/time";

/** A program that starts another one and writes the largest resident memory of that, in KB, into a file. */
export function timeWrapper(report: string): string[] {
  return [GNU_TIME, "--quiet", "--format=%M", `--output=${report}`];
}
