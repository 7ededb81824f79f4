/** Series of Linux that the simulated node can run, and the Debian suite that has each. */
const SUITES = {
  "5.10": "bullseye-security",
  "6.1": "bookworm-security",
  "6.12": "trixie-security",
  "7.3": "trixie-backports",
} as const;

/** A series of Linux that the simulated node can run. */
export type Series = keyof typeof SUITES;

/** All of them, from old to new. */
export const ALL_SERIES = Object.keys(SUITES) as Series[];

/** The series of Debian 13. */
export const DEFAULT_SERIES: Series = "6.12";

/** The Debian suite whose kernels are of a series. */
export function suiteOf(series: Series): string {
  return SUITES[series];
}

/** The series that a person names. @throws {Error} naming all of them, if it is none */
export function parseSeries(text: string): Series {
  const series = ALL_SERIES.find((one) => one === text);
  if (series === undefined) {
    throw new Error(`Cannot run kernel ${JSON.stringify(text)}, expected one of ${ALL_SERIES.join(", ")}`);
  }
  return series;
}
