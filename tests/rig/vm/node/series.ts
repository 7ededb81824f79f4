import { AMD64, type Architecture, ARM64 } from "./architecture.ts";

/** Where a kernel of Debian comes from, and what it runs on. */
interface Source {
  /** Its version begins so. */
  version: string;
  suite: string;
  architecture: Architecture;
}

/** Series of Linux that the simulated node can run. */
const SOURCES = {
  "5.10": { version: "5.10", suite: "bullseye-security", architecture: AMD64 },
  "6.1": { version: "6.1", suite: "bookworm-security", architecture: AMD64 },
  "6.12": { version: "6.12", suite: "trixie-security", architecture: AMD64 },
  "6.12-arm64": { version: "6.12", suite: "trixie-security", architecture: ARM64 },
  "7.3": { version: "7.3", suite: "trixie-backports", architecture: AMD64 },
} satisfies Record<string, Source>;

/** A series of Linux that the simulated node can run. */
export type Series = keyof typeof SOURCES;

/** All of them, from old to new. */
const ALL_SERIES = Object.keys(SOURCES) as Series[];

/** The series of Debian 13. */
export const DEFAULT_SERIES: Series = "6.12";

/** Where the kernels of a series come from. */
export function sourceOf(series: Series): Source {
  return SOURCES[series];
}

/** The series that a person names. @throws {Error} naming all of them, if it is none */
export function parseSeries(text: string): Series {
  const series = ALL_SERIES.find((one) => one === text);
  if (series === undefined) {
    throw new Error(`Cannot run kernel ${JSON.stringify(text)}, expected one of ${ALL_SERIES.join(", ")}`);
  }
  return series;
}
