/** A temporary directory, which goes with all that is in it when it is disposed of. */
export class TestDirectory implements Disposable {
  readonly path = Deno.makeTempDirSync();

  /** The sorted names in it, or in a directory below it. */
  names(below = ""): string[] {
    return [...Deno.readDirSync(`${this.path}/${below}`)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
