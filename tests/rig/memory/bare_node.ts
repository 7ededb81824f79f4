import { Memo } from "../../../src/plugin/record/memo.ts";
import { type AttachmentRecord, formatRecord } from "../../../src/plugin/record/record.ts";
import { State } from "../../../src/plugin/record/state.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";
import { MemoryNodeKernel } from "./node_kernel.ts";

/** A node with nothing on it: "/" is a directory. Makes sure at the end that no namespace and no lock was left open. */
export class BareNode implements Disposable {
  readonly kernel = new MemoryNodeKernel();
  readonly temporary = Deno.makeTempDirSync();
  readonly root = `${this.temporary}/root`;
  readonly directory: string;
  readonly state: State;
  readonly indexes = new Memo(`${this.temporary}/indexes`);
  readonly terminal = new TestTerminal();

  /** @param files absolute path -> content; a path that ends in "/" is a directory */
  constructor(files: Record<string, string> = {}, directory = "root/var/lib/cni/rdma") {
    this.directory = `${this.temporary}/${directory}`;
    this.state = new State(this.directory);
    this.kernel.root = this.root;
    for (const [path, text] of Object.entries(files)) this.write(path, text);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.temporary, { recursive: true });
    assertEquals(this.kernel.open.size, 0, "a namespace, a lock or the signals were left open");
  }

  /** Writes a file: one of an absolute path below the root, or a record or any text into the state directory. */
  write(path: string, content: string | AttachmentRecord): void {
    if (!path.startsWith("/")) this.state.create();
    const target = path.startsWith("/") ? `${this.root}${path}` : `${this.directory}/${path}`;
    Deno.mkdirSync(target.replace(/\/[^/]*$/, ""), { recursive: true });
    if (path.endsWith("/")) return;
    Deno.writeTextFileSync(target, typeof content === "string" ? content : formatRecord(content));
  }

  readonly read = (path: string) => Deno.readTextFileSync(`${this.root}${path}`);

  /** Puts a link below the root, which may lead nowhere. */
  link(path: string, target: string): void {
    this.write(path.replace(/[^/]*$/, ""), "");
    Deno.symlinkSync(target, `${this.root}${path}`);
  }
}
