import { fileURLToPath } from "node:url";

/** The project's directory, with a slash at its end. */
export const PROJECT = fileURLToPath(new URL("..", import.meta.url));
