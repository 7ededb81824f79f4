import { assertEquals } from "../support/assert.ts";
import { apply, mutantsOf } from "../support/mutants_of.ts";
import { PROJECT } from "../support/project.ts";
import { findTests } from "../support/test_files.ts";

for (
  const [source, wanted] of [
    ["if (a) b();", ["if (!(a)) b();", "if (a) ;"]],
    ["const c = !a && b;", ["const c = !a;", "const c = a && b;", "const c = !a || b;"]],
    ["const c = a === 1;", ["const c = a !== 1;", "const c = a === 2;", "const c = a === 0;"]],
    ["const c = a < b ? d : e;", ["const c = !(a < b) ? d : e;", "const c = a <= b ? d : e;"]],
    ["const f = () => true;", ["const f = () => undefined;", "const f = () => false;"]],
    ["function f() { return a ?? b; }", ["function f() { return; }", "function f() { return a; }"]],
    ["function f() { return undefined; }", []],
    ['throw new Error("for people, that is");', [";"]],
    ['const c = { "key": ["a", B] };', ['const c = { "key": ["", B] };', 'const c = { "key": ["a", ] };']],
    ['import a from "a"; export * from "b"; type C = "c" | 1; interface D { readonly e: 1 }', []],
    ["let c = a as 1;", []],
  ] as const
) {
  Deno.test(`the mutants of ${source}`, () => {
    assertEquals(mutantsOf(source).map((mutant) => apply(source, mutant)), [...wanted]);
  });
}

Deno.test("a mutant knows its line", () => {
  const found = mutantsOf("let a;\n\na();").map(({ line, what }) => [line, what]);
  assertEquals(found, [[3, "a statement is dropped"]]);
});

Deno.test("tests reach a source also by its address in a program that they start", () => {
  const { tests } = findTests(PROJECT);
  for (const name of ["lock", "signals"]) {
    const test = tests.find(({ path }) => path === `tests/files/${name}_test.ts`);
    assertEquals(test?.distances.get(`src/sys/${name}.ts`), 0);
  }
});
