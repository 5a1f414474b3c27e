// The same judge calls through promptfoo, as its Node package. In a folder with promptfoo installed
// (PROMPTFOO names the folder of the package):
//
//     PROMPTFOO=.../node_modules/promptfoo node peer_promptfoo.mjs PORT CALLS CONCURRENCY
//
// The server must answer {"pass": true, "score": 1, "reason": "polite"}: stored answers come from
// the echo provider, and llm-rubric makes one call an item.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [port, calls, concurrency] = process.argv.slice(2, 5).map(Number);
const folder = mkdtempSync(join(tmpdir(), "promptfoo-"));
Object.assign(process.env, {
  PROMPTFOO_CONFIG_DIR: folder,
  PROMPTFOO_DISABLE_TELEMETRY: "1",
  PROMPTFOO_DISABLE_UPDATE: "1",
  PROMPTFOO_DISABLE_REMOTE_GENERATION: "1",
  PROMPTFOO_CACHE_ENABLED: "false",
  PROMPTFOO_FETCH_CONNECTIONS: String(concurrency), // 4 unless told, whatever runs at once
  LOG_LEVEL: "error",
});
const root = process.env.PROMPTFOO;
const entry = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).exports["."].import;
const path = typeof entry === "string" ? entry : entry.default;
const { default: promptfoo } = await import(pathToFileURL(join(root, path)));

const judge = {
  id: "openai:chat:judge",
  config: { apiBaseUrl: `http://127.0.0.1:${port}/v1`, apiKey: "none" },
};
const system = "Judge whether the answer is polite. ".repeat(10);
const suite = {
  prompts: ["{{answer}}"],
  providers: ["echo"],
  defaultTest: {
    options: {
      provider: judge,
      rubricPrompt: JSON.stringify([
        { role: "system", content: system },
        { role: "user", content: "{{output}}" },
      ]),
    },
    assert: [{ type: "llm-rubric", value: "polite" }],
  },
  tests: Array.from({ length: calls }, (_, n) => ({ vars: { answer: `Answer ${n}: thank you for your patience.` } })),
  writeLatestResults: false,
};

const cpu = process.cpuUsage();
const started = performance.now();
const done = await promptfoo.evaluate(suite, {
  maxConcurrency: concurrency,
  cache: false,
  showProgressBar: false,
});
const wall = performance.now() - started;
const spent = process.cpuUsage(cpu);
const { stats } = await (done.toEvaluateSummary?.() ?? done);
if (stats.successes !== calls) throw new Error(JSON.stringify(stats));
console.log(
  JSON.stringify({
    path: "promptfoo",
    calls,
    concurrency,
    wall_s: Math.round(wall) / 1000,
    cpu_ms_a_call: Math.round(spent.user + spent.system) / 1000 / calls,
    peak_mib: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
rmSync(folder, { recursive: true, force: true });
process.exit(0);
