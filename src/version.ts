/** This program's version; the same as in deno.json. */
export const VERSION = "0.2.0";

/** Words in every executable of this program and in no other, by which `install --uninstall` recognises it. */
export const EXECUTABLE_MARKER = "rdma-cni-executable-marker";

/** The first argument of the process that the command "agent" becomes; the second one is its options as JSON. */
export const SERVE = "serve";
