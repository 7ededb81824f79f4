import { Buffer } from "node:buffer";
import { appendedSize } from "../../deployment/build/runtime_stub.ts";
import { CNI_VERSIONS } from "../../src/cni/version.ts";
import { assert, assertEquals } from "./assert.ts";
import { call } from "./program.ts";

/** What a compiled form begins with (SerializedCodeData in V8); the next bytes tell which V8 can use it. */
const MARK = Uint8Array.of(0xae, 0x06, 0xde, 0xc0);

/**
 * Makes sure that the calls of an executable run the compiled form of its program, and its source where V8 refuses that
 * form: with another number in the source, only the latter tell it.
 *
 * @param by how this machine runs the executable
 */
export async function assertRunsCompiledForm(executable: string, by: string[]): Promise<void> {
  const directory = Deno.makeTempDirSync();
  const program = `${directory}/rdma-cni`;
  const bytes = Buffer.from(Deno.readFileSync(executable).buffer);
  const versions = async () => {
    Deno.writeFileSync(program, bytes, { mode: 0o755 });
    return (await call("VERSION", { program, by })).json.supportedVersions;
  };
  try {
    bytes.write('"0.3.0","9.9.9"', bytes.indexOf('"0.3.0","0.3.1","0.4.0"'));
    assertEquals(await versions(), CNI_VERSIONS);
    const form = bytes.indexOf(MARK, bytes.length - appendedSize(bytes));
    assert(form > 0);
    bytes[form + MARK.length]! ^= 1;
    assertEquals(await versions(), CNI_VERSIONS.map((version) => version === "0.3.1" ? "9.9.9" : version));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}
