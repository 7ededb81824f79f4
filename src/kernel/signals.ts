const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Keeps signals from ending this process, until disposed of. What is told of them comes between two tasks of the event
 * loop, so `caught` has to be awaited.
 */
export function holdSignals(): Disposable & { caught(): Promise<string | undefined> } {
  let signal: string | undefined;
  const listeners = SIGNALS.map((name) => {
    const listener = () => {
      signal ??= name;
    };
    Deno.addSignalListener(name, listener);
    return { name, listener };
  });
  return {
    async caught() {
      await new Promise((resolve) => setTimeout(resolve, 0));
      return signal;
    },
    [Symbol.dispose]() {
      for (const { name, listener } of listeners) Deno.removeSignalListener(name, listener);
    },
  };
}
