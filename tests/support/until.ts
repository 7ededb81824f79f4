/** Asks again and again, until there is an answer. @throws {Error} after three minutes */
export async function until<T>(find: () => T | undefined | false): Promise<T> {
  for (let tries = 0; tries < 18_000; tries++) {
    const found = find();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`Waited in vain: ${find}`);
}
