import { CniError, ErrorCode } from "../cni/error.ts";
import { ifPresent, replaceFile, temporaryPath } from "../sys/files.ts";
import {
  type Attachment,
  type AttachmentRecord,
  formatRecord,
  type OwnRecord,
  parseRecord,
  UnreadableRecord,
} from "./record.ts";
import { messageOf } from "../sys/errno.ts";

/** Where the Go plugin keeps its records too, so that a node can be switched over with pods running. */
export const STATE_DIRECTORY = "/var/lib/cni/rdma";

/** Bytes, a hundred times what a record has. */
const RECORD_LIMIT = 64 * 1024;

/** A file of the state directory: its record, or why it has none. */
export interface StateEntry {
  readonly file: string;
  readonly record?: AttachmentRecord;
  readonly fault?: UnreadableRecord;
}

/**
 * The attachment records, one file each. Whoever writes must hold the lock on the directory. Names that start with a dot
 * are temporary; no network's name can.
 */
export class State {
  constructor(readonly directory: string) {}

  /** The name the Go plugin gives the file of an attachment. */
  fileOf({ network, containerID, ifname }: Attachment): string {
    return `${network}-${containerID}-${ifname}`;
  }

  /**
   * Makes the directory, for root alone, unless it is there.
   *
   * @throws {CniError} code 5, also for a directory in which others could plant records
   */
  create(): void {
    const { directory } = this;
    const found = this.#io("find", directory, () => ifPresent(() => Deno.statSync(directory)));
    if (!found?.isDirectory) {
      return this.#io("create", directory, () => Deno.mkdirSync(directory, { recursive: true, mode: 0o700 }));
    }
    const { uid, mode } = found;
    if (uid === Deno.uid() && (mode! & 0o022) === 0) return;
    this.#io("use", directory, () => {
      const rights = (mode! & 0o7777).toString(8).padStart(4, "0");
      throw new Error(`others can write there: its owner is ${uid} and its mode ${rights}, want 0 and 0700`);
    });
  }

  exists(): boolean {
    return ifPresent(() => Deno.lstatSync(this.directory)) !== undefined;
  }

  /**
   * The record in the file of an attachment, or undefined when there is none. It may be another attachment's whose parts
   * join to the same name: {@linkcode isRecordOf} tells.
   *
   * @throws {UnreadableRecord}
   */
  load(attachment: Attachment): AttachmentRecord | undefined {
    return this.#read(this.fileOf(attachment));
  }

  /**
   * Writes a record so that at any instant the file holds the old record or the new one, whole. It does not wait for
   * the disk: after a reboot all devices are in the host namespace and a record, whole or empty,
   * means nothing.
   *
   * @throws {CniError} code 5
   */
  save(record: OwnRecord): void {
    const path = `${this.directory}/${this.fileOf(record.attachment)}`;
    this.#io("write", path, () => replaceFile(path, formatRecord(record), 0o600));
  }

  /** Forgets an attachment: its record and what a crash while writing it may have left. @throws {CniError} code 5 */
  remove(file: string): void {
    const path = `${this.directory}/${file}`;
    this.#io("remove", path, () => {
      const temporary = temporaryPath(path);
      ifPresent(() => Deno.removeSync(temporary));
      ifPresent(() => Deno.removeSync(path));
    });
  }

  /** All records. Files that are none are told with the reason; temporary files are passed over. */
  list(): StateEntry[] {
    return this.#entries().map(({ name }) => name).filter((file) => !file.startsWith(".")).sort()
      .map((file) => this.read(file));
  }

  /** One file of the directory. */
  read(file: string): StateEntry {
    try {
      const record = this.#read(file);
      return record ? { file, record } : { file };
    } catch (error) {
      if (error instanceof UnreadableRecord) return { file, fault: error };
      throw error;
    }
  }

  /**
   * Removes what crashes left. Only for the holder of the lock, since a writer's file looks the same. A directory is none
   * of a writer's, and would fail to go if something is in it.
   */
  removeLeftovers(): void {
    for (const { name, isDirectory } of this.#entries()) {
      if (isDirectory || !(name.startsWith(".") && name.endsWith(".tmp"))) continue;
      const path = `${this.directory}/${name}`;
      this.#io("remove", path, () => ifPresent(() => Deno.removeSync(path)));
    }
  }

  #entries(): Deno.DirEntry[] {
    return this.#io(
      "list",
      this.directory,
      () => ifPresent(() => [...Deno.readDirSync(this.directory)]) ?? [],
    );
  }

  /** Follows no symbolic link: the directory is ours, what a link in it points at is not. */
  #read(file: string): AttachmentRecord | undefined {
    const path = `${this.directory}/${file}`;
    const found = this.#io("read", path, () => ifPresent(() => Deno.lstatSync(path)));
    if (!found) return undefined;
    const fault = (reason: string) =>
      new UnreadableRecord(`Cannot use record ${JSON.stringify(path)}: ${reason}`);
    if (!found.isFile) throw fault("it is no regular file");
    if (found.size > RECORD_LIMIT) throw fault(`it has ${found.size} bytes, want at most ${RECORD_LIMIT}`);
    try {
      return parseRecord(Deno.readTextFileSync(path), found.mtime?.getTime() ?? 0);
    } catch (error) {
      throw fault(messageOf(error));
    }
  }

  #io<T>(verb: string, path: string, work: () => T): T {
    try {
      return work();
    } catch (cause) {
      const reason = messageOf(cause);
      throw new CniError(
        ErrorCode.ioFailure,
        `Cannot ${verb} ${JSON.stringify(path)}: ${reason}`,
        `the plugin keeps its records in ${this.directory}: it must be writable, for root alone, and have space left`,
        { cause },
      );
    }
  }
}
