import ts from "typescript";

/** One small change of a source text, which a test should notice. */
export interface Mutant {
  /** The text that is replaced, by position. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** The kind of the change: `&& becomes ||`. */
  readonly what: string;
  /** Counted from 1. */
  readonly line: number;
}

const EXCHANGED: Readonly<Record<string, string>> = {
  ...{ "&&": "||", "||": "&&", "===": "!==", "!==": "===" },
  ...{ "<": "<=", "<=": "<", ">": ">=", ">=": ">", "-": "+", "*": "/", "|": "&", "&": "|" },
};

/** All mutants of a module, in the order in which they stand. Types and imports have none, nor have texts for people. */
export function mutantsOf(source: string): Mutant[] {
  const file = ts.createSourceFile("module.ts", source, ts.ScriptTarget.Latest, true);
  const mutants: Mutant[] = [];
  const replace = (node: ts.Node, text: string, what: string) => {
    const start = node.getStart(file);
    const line = file.getLineAndCharacterOfPosition(start).line + 1;
    mutants.push({ start, end: node.end, text, what, line });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node)) return;
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return;
    mutate(node, replace);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return mutants.sort((a, b) => a.start - b.start);
}

export function apply(source: string, { start, end, text }: Mutant): string {
  return source.slice(0, start) + text + source.slice(end);
}

function mutate(node: ts.Node, replace: (node: ts.Node, text: string, what: string) => void): void {
  if (ts.isIfStatement(node)) {
    replace(node.expression, `!(${node.expression.getText()})`, "the condition is negated");
  }
  if (ts.isConditionalExpression(node)) {
    replace(node.condition, `!(${node.condition.getText()})`, "the condition is negated");
  }
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
    replace(node, node.operand.getText(), "! is dropped");
  }
  if (ts.isBinaryExpression(node)) {
    const token = node.operatorToken.getText();
    const other = EXCHANGED[token];
    if (other) replace(node.operatorToken, other, `${token} becomes ${other}`);
    if (["&&", "||", "??"].includes(token)) {
      replace(node, node.left.getText(), `what follows ${token} is dropped`);
    }
  }
  if (node.kind === ts.SyntaxKind.TrueKeyword) replace(node, "false", "true becomes false");
  if (node.kind === ts.SyntaxKind.FalseKeyword) replace(node, "true", "false becomes true");
  if (ts.isNumericLiteral(node) && !ts.isPropertyAssignment(node.parent.parent)) {
    for (const step of [1, -1]) {
      replace(node, `${Number(node.text) + step}`, `${node.text} is another number`);
    }
  }
  if (ts.isStringLiteral(node) && /^[^ ]+$/.test(node.text) && !isKey(node)) {
    replace(node, '""', "a text is emptied");
  }
  if (ts.isArrayLiteralExpression(node) && node.elements.length > 1) {
    for (const element of node.elements) {
      if (ts.isIdentifier(element)) replace(element, "", "an element is dropped");
    }
  }
  if (ts.isExpressionStatement(node)) replace(node, ";", "a statement is dropped");
  if (ts.isThrowStatement(node)) replace(node, ";", "an error is not thrown");
  if (ts.isReturnStatement(node) && node.expression && node.expression.getText() !== "undefined") {
    replace(node, "return;", "nothing is returned");
  }
  if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) {
    replace(node.body, "undefined", "nothing is returned");
  }
}

function isKey(node: ts.StringLiteral): boolean {
  return ts.isPropertyAssignment(node.parent) && node.parent.name === node;
}
