/** The bit of CAP_SYS_ADMIN in a set of capabilities (uapi linux/capability.h). */
const CAP_SYS_ADMIN = 21n;

/** What this process lacks of what tests need that make namespaces and mounts; undefined when it has all. */
export function findMissingRight(): "root" | "CAP_SYS_ADMIN" | undefined {
  if (Deno.uid() !== 0) return "root";
  const [, effective] = /^CapEff:\t(\w+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))!;
  return (BigInt(`0x${effective}`) >> CAP_SYS_ADMIN & 1n) === 1n ? undefined : "CAP_SYS_ADMIN";
}
