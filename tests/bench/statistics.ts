/** The value below which a part `part` of the samples lies, interpolated; NaN of none. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [low = NaN, high = low] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at % 1);
}

export function median(samples: readonly number[] | undefined): number {
  return quantile(samples ?? [], 0.5);
}

/**
 * The median of the quotients of samples that were taken in pairs, one right after the other: what disturbs the machine
 * for longer than that disturbs both alike.
 */
export function medianRatio(samples: readonly number[] = [], others: readonly number[] = []): number {
  return median(samples.map((sample, i) => sample / (others[i] ?? NaN)));
}

export function sum(samples: readonly number[]): number {
  return samples.reduce((total, sample) => total + sample, 0);
}
