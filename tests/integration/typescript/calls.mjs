// Signs in, deploys an application and follows that to its end, with @mist/client alone.
// Arguments: the address, the password of admin@localhost, and the application's id.
import { ApiError, createClient } from "@mist/client";
import WebSocket from "ws";

const [url, password, app] = process.argv.slice(2);

const failure = (error) => {
  if (!(error instanceof ApiError)) throw error;
  return { status: error.status, message: error.message };
};

let cookie = "";
const stranger = createClient({
  url,
  onResponse: (response) => {
    cookie = response.headers.getSetCookie()[0]?.split(";")[0] ?? cookie;
  },
});
const nobody = await stranger.me().catch(failure);
const wrong = await stranger.login("admin@localhost", "wrong").catch(failure);
await stranger.login("admin@localhost", password);

const client = createClient({ url, WebSocket, headers: { Cookie: cookie } });
const { id } = await client.deploy(Number(app));
const stream = client.followDeployment({ deploymentId: id });
const lines = [];
for await (const { line } of stream.lines()) lines.push(line);
const report = {
  nobody,
  wrong,
  me: await client.me(),
  app: await client.app(Number(app)),
  absent: await client.app(999_999).catch(failure),
  lines,
  reason: await stream.closed,
  deployment: await client.deployment(id),
  newest: (await client.deployments(Number(app), { limit: 1 })).map(({ id }) => id),
};
await client.logout();
report.after = await client.me().catch(failure);
console.log(JSON.stringify(report));
