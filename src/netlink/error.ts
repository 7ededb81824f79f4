/** Bytes from the kernel (or a request of ours) that do not have the layout they must have. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}
