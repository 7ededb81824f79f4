/** The documents of a text. @throws {SyntaxError} also when a key stands twice */
export function parseAll(content: string): unknown[];
