import { Log, LOG_LEVELS } from "../../src/log.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";

function logged(work: (log: Log) => void): string[] {
  const lines: string[] = [];
  work(new Log((line) => lines.push(line)));
  return lines;
}

for (const [i, level] of LOG_LEVELS.entries()) {
  Deno.test(`level ${level} shows what is at least as grave`, () => {
    const lines = logged((log) => {
      log.level = level;
      for (const each of LOG_LEVELS) log[each](`a ${each}`);
    });
    assertEquals(lines.map((line) => /level="(\w+)"/.exec(line)?.[1]), LOG_LEVELS.slice(i));
  });
}

Deno.test("a line has a time, a level, a text and the labels, in this order", () => {
  const [line] = logged((log) => {
    log.labels = { containerID: "c1", netns: "", ifname: "net1" };
    log.info("moved");
  });
  assertMatch(
    line!,
    /^time="\d{4}-\d\d-\d\dT[\d:.]+Z" level="info" msg="moved" containerID="c1" netns="" ifname="net1"\n$/,
  );
});

Deno.test("nothing in a text or a label starts a line of its own or controls a terminal", () => {
  const hostile = 'a"\nlevel="error"\r\0\u2028\u001b[31m\x7f\x9b\u202e';
  const [line, ...others] = logged((log) => {
    log.labels = { containerID: hostile };
    log.warning(hostile);
  });
  assertEquals(others, []);
  for (const control of "\n\r\0\u001b\x7f\x9b\u2028\u202e") {
    assertEquals(line!.trimEnd().includes(control), false);
  }
  assertEquals(line!.split('level="error"').length, 1);
});

Deno.test("a sink that throws stops neither the call nor the other sinks", () => {
  const lines: string[] = [];
  const log = new Log(() => {
    throw new Error("Broken pipe");
  });
  log.addSink((line) => lines.push(line));
  log.error("failed");
  assertEquals(lines.length, 1);
});
