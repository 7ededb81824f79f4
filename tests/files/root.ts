/** A directory that stands for "/", with files in it. */
export class Root implements Disposable {
  readonly path: string = Deno.makeTempDirSync();

  /** @param files absolute path -> content */
  constructor(files: Record<string, string>) {
    for (const [path, text] of Object.entries(files)) this.write(path, text);
  }

  write(path: string, text: string): void {
    Deno.mkdirSync(`${this.path}${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeTextFileSync(`${this.path}${path}`, text);
  }

  read(path: string): string {
    return Deno.readTextFileSync(`${this.path}${path}`);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
