const encoder = new TextEncoder();

/** A text as C wants it: UTF-8 with a NUL at its end. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}
