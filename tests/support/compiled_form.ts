import { Buffer } from "node:buffer";
import { CNI_VERSIONS } from "../../src/cni/version.ts";
import { assert, assertEquals } from "./assert.ts";
import { call } from "./program.ts";

/** A version in the list of those that the program supports. */
const VERSION = "0.3.1";

/**
 * Makes sure that the calls of an executable run the compiled form of its program, and its source where V8 refuses that
 * form. Changes a version in the source: as long as the text is as long as before V8 cannot tell, and runs the form.
 *
 * @param by how this machine runs the executable
 */
export async function assertRunsCompiledForm(executable: string, by: string[]): Promise<void> {
  const directory = Deno.makeTempDirSync();
  const program = `${directory}/rdma-cni`;
  const bytes = Buffer.from(Deno.readFileSync(executable).buffer);
  const list = bytes.lastIndexOf('"0.3.0"');
  assert(list > 0);
  const at = bytes.indexOf(VERSION, list);
  const versionsWith = async (version: string) => {
    bytes.write(version, at);
    Deno.writeFileSync(program, bytes, { mode: 0o755 });
    return (await call("VERSION", { program, by })).json.supportedVersions;
  };
  try {
    assertEquals(await versionsWith("9.9.9"), CNI_VERSIONS);
    const shorter = "9.9é"; // in characters
    assertEquals(await versionsWith(shorter), CNI_VERSIONS.map((one) => one === VERSION ? shorter : one));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}
