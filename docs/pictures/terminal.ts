/** A colour that programs set. */
export type Colour = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "dim";

/** The look of characters. */
export interface Style {
  colour?: Colour;
  bold?: boolean;
}

/** Characters that look the same, and where they begin, counted from 0. */
export interface Span extends Style {
  column: number;
  text: string;
}

/** Colours by the numbers of ECMA-48 SGR. */
const COLOURS: Record<number, Colour> = {
  31: "red",
  32: "green",
  33: "yellow",
  34: "blue",
  35: "magenta",
  36: "cyan",
  90: "dim",
};

/** A terminal for programs that print line by line. It wraps long lines, and keeps those that scroll away. */
export class Terminal {
  readonly lines: Span[][] = [];
  #line: Span[] | undefined;
  #column = 0;
  #style: Style = {};

  constructor(readonly width: number) {}

  /** @throws {Error} if the text moves the cursor, or has another style than bold and the usual colours */
  write(text: string): void {
    for (const [token, parameters] of text.matchAll(/\p{Cc}\[([\d;]*)m|\r\n|\P{Cc}+|[^]/gu)) {
      if (token.startsWith("\x1b[")) parameters!.split(";").forEach((one) => this.#setStyle(Number(one)));
      else if (token === "\r\n") this.#endLine();
      else if (/\p{Cc}/u.test(token)) {
        throw new Error(`Cannot draw the control character ${JSON.stringify(token)}`);
      } else this.#print(token);
    }
  }

  #setStyle(parameter: number): void {
    if (parameter === 0) this.#style = {};
    else if (parameter === 1) this.#style = { ...this.#style, bold: true };
    else if (COLOURS[parameter]) this.#style = { ...this.#style, colour: COLOURS[parameter] };
    else throw new Error(`Cannot draw the style "${parameter}" of the terminal`);
  }

  #print(text: string): void {
    for (let rest = text; rest !== "";) {
      if (this.#column === this.width) this.#endLine();
      const part = rest.slice(0, this.width - this.#column);
      this.#current().push({ ...this.#style, column: this.#column, text: part });
      this.#column += part.length;
      rest = rest.slice(part.length);
    }
  }

  /** A line is there from its first character on, not from the end of the one before. */
  #current(): Span[] {
    if (this.#line === undefined) this.lines.push(this.#line = []);
    return this.#line;
  }

  #endLine(): void {
    this.#current();
    this.#line = undefined;
    this.#column = 0;
  }
}
