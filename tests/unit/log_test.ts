import { Log, LOG_LEVELS } from "../../src/log.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";

function logged(work: (log: Log) => void): string[] {
  const lines: string[] = [];
  work(new Log((line) => lines.push(line)));
  return lines;
}

Deno.test("each level shows what is at least as grave", () => {
  for (const [i, level] of LOG_LEVELS.entries()) {
    const lines = logged((log) => {
      log.level = level;
      for (const each of LOG_LEVELS) log[each](`a ${each}`);
    });
    assertEquals(lines.map((line) => /level="(\w+)"/.exec(line)?.[1]), LOG_LEVELS.slice(i));
  }
});

Deno.test("a line has a time, a level, a text and the labels, in this order", () => {
  const [line] = logged((log) => {
    log.labels = { containerID: "c1", netns: "", ifname: "net1" };
    log.info("moved");
  });
  const time = String.raw`time="\d{4}-\d\d-\d\dT[\d:.]+Z"`;
  const more = 'level="info" msg="moved" containerID="c1" netns="" ifname="net1"';
  assertMatch(line!, new RegExp(`^${time} ${more}\n$`));
});

Deno.test("nothing in a text or a label starts a line of its own or controls a terminal", () => {
  const [line, ...others] = logged((log) => {
    log.labels = { containerID: 'a"\nlevel="error"\r\0\u2028\u001b[31m\x7f\x9b\u202e' };
    log.warning(log.labels["containerID"]!);
  });
  assertEquals(others, []);
  assertMatch(line!, /^[^\p{C}\p{Zl}\p{Zp}]*\n$/u);
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
