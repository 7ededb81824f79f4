/**
 * Runs work whose new files and folders get exactly the modes that it names, whatever umask the runtime has set. A
 * chmod after the creation would do the same, but to whatever has the name by then.
 */
export function withoutUmask<T>(work: () => T): T {
  const before = Deno.umask(0);
  try {
    return work();
  } finally {
    Deno.umask(before);
  }
}
