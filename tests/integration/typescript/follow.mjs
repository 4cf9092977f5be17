// A program on @mist/client.  Its one argument is a JSON object with `kind`
// ("logs", "deployment", "metrics" or "merged") and the `options` of that stream;
// it reports every event as newline-delimited JSON.  It reads "close" and
// "reconnect" from its input, whose end aborts the signal; nothing else ends it.
import { createInterface } from "node:readline";
import { containerLogs, deployment, mergeLogs, metrics } from "@mist/client";
import WebSocket from "ws";

const { kind, options } = JSON.parse(process.argv[2]);
const report = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const abort = new AbortController();
const common = { WebSocket, signal: abort.signal };

const begin = {
  logs: () => containerLogs({ ...options, ...common }),
  deployment: () => deployment({ ...options, ...common }),
  metrics: () => metrics({ ...options, ...common }),
  merged: () => {
    const { apps, ...rest } = options;
    const open = ([name, appId]) => [name, containerLogs({ ...rest, appId, ...common })];
    return mergeLogs(Object.fromEntries(Object.entries(apps).map(open)), common);
  },
};

const commands = createInterface({ input: process.stdin });
commands.on("close", () => abort.abort());

let stream;
try {
  stream = begin[kind]();
} catch (error) {
  report({ type: "thrown", message: String(error) });
  process.exit(1);
}
commands.on("line", (command) => stream[command]());
const types = "open state status lines samples skipped reconnected error end".split(" ");
for (const type of types) stream.on(type, report);
