// Bundle the test's page: `node build.mjs hooks|document FOLDER`.  The second takes the
// hook from the WebSocket page's example in place of @mist/react.
import { fileURLToPath } from "node:url";
import { build } from "vite";

const [variant, folder] = process.argv.slice(2);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const ownHost = {
  name: "own-host",
  transform: (code, id) =>
    id.endsWith("document.ts")
      ? code.replace("`wss://mist.example.com", "`ws://${location.host}")
      : undefined,
};
const fromDocument = {
  name: "from-document",
  enforce: "pre",
  resolveId: (id, importer) =>
    id === "@mist/react" && importer?.endsWith("Log.tsx") ? here("document.ts") : undefined,
};

await build({
  configFile: false,
  root: here("."),
  logLevel: "warn",
  // Strict mode does something only in React's development build.
  mode: "development",
  define: { "process.env.NODE_ENV": '"development"' },
  oxc: { jsx: { runtime: "automatic", development: false } },
  plugins: variant === "document" ? [fromDocument, ownHost] : [],
  build: {
    outDir: folder,
    emptyOutDir: false,
    minify: false,
    lib: { entry: here("main.tsx"), formats: ["es"], fileName: () => "main.js" },
  },
});
