// A WebSocket client on Node's `ws`.  Its one argument is a JSON object with
// `url`, `cookie` and `origin`; it reports what happens as newline-delimited
// JSON, and closes the connection at the end of its input.
import WebSocket from "ws";

const { url, cookie, origin } = JSON.parse(process.argv[2]);
const headers = cookie ? { Cookie: cookie } : {};
const socket = new WebSocket(url, { headers, ...(origin ? { origin } : {}) });
const report = (event) => process.stdout.write(JSON.stringify(event) + "\n");

socket.on("open", () => report({ open: true }));
socket.on("message", (data) => report({ message: data.toString() }));
socket.on("unexpected-response", (request, response) => {
  const parts = [];
  response.on("data", (part) => parts.push(part));
  response.on("end", () => {
    report({ refused: response.statusCode, body: Buffer.concat(parts).toString() });
    process.exit(0);
  });
});
socket.on("error", (error) => process.stderr.write(`${error}\n`));
socket.on("close", (code, reason) => {
  report({ close: code, reason: reason.toString() });
  process.stdin.destroy();
});
process.stdin.on("end", () => socket.close(1000)).resume();
