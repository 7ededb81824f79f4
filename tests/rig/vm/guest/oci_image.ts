import { createHash } from "node:crypto";
import { shOk } from "./sh.ts";

/** Name of the image, for the runtime's configuration and for containers. */
export const IMAGE = "localhost/busybox:test";

/**
 * Makes an image archive (OCI image layout) whose only file is a static busybox, which sleeps unless told otherwise: it
 * does as the pause container of a pod too.
 */
export async function makeImage(archive: string): Promise<void> {
  const directory = await Deno.makeTempDir();
  await shOk(
    `cd ${directory} && mkdir -p blobs/sha256 root/bin && cp /usr/bin/busybox root/bin && tar -C root -cf layer.tar .`,
  );
  const layer = await addBlob(directory, await Deno.readFile(`${directory}/layer.tar`));
  const config = await addBlob(directory, {
    architecture: "amd64",
    os: "linux",
    config: { Entrypoint: ["/bin/busybox", "sleep", "infinity"] },
    rootfs: { type: "layers", diff_ids: [layer.digest] },
  });
  const manifest = await addBlob(directory, {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
  });
  const index = {
    schemaVersion: 2,
    manifests: [{
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      ...manifest,
      annotations: { "io.containerd.image.name": IMAGE },
    }],
  };
  await Deno.writeTextFile(`${directory}/index.json`, JSON.stringify(index));
  await Deno.writeTextFile(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await shOk(`cd ${directory} && tar -cf ${archive} oci-layout index.json blobs && rm -r ${directory}`);
}

interface Blob {
  digest: string;
  size: number;
}

/** Puts a blob into an image layout, as bytes or as JSON. */
async function addBlob(directory: string, content: Uint8Array | object): Promise<Blob> {
  const bytes = content instanceof Uint8Array ? content : new TextEncoder().encode(JSON.stringify(content));
  const hash = createHash("sha256").update(bytes).digest("hex");
  await Deno.writeFile(`${directory}/blobs/sha256/${hash}`, bytes);
  return { digest: `sha256:${hash}`, size: bytes.length };
}
