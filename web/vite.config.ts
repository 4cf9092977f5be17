import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defaultClientConditions, type Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The service behind `npm run dev`: `MIST_URL=http://127.0.0.1:8420 npm run dev`. */
const service = process.env.MIST_URL ?? 'http://127.0.0.1:8420';

/** The size limit of a first visit, compressed with gzip, in bytes. */
const BUDGET = 100_000;

/** Write a `.gz` and a `.br` next to each file; fail if the page exceeds its budget. */
function compress(): Plugin {
  let folder = '';
  return {
    name: 'compress',
    apply: 'build',
    configResolved: (config) => {
      folder = join(config.root, config.build.outDir);
    },
    closeBundle: () => {
      let total = 0;
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !['.html', '.js', '.css', '.svg'].includes(extname(entry.name)))
          continue;
        const file = join(entry.parentPath, entry.name);
        const data = readFileSync(file);
        const zipped = gzipSync(data, { level: 9 });
        total += zipped.length;
        writeFileSync(`${file}.gz`, zipped);
        writeFileSync(`${file}.br`, brotliCompressSync(data));
      }
      console.log(`the page has ${total} bytes, compressed with gzip`);
      if (total > BUDGET) throw new Error(`the page may have ${BUDGET} bytes at most`);
    },
  };
}

export default defineConfig({
  // Relative, because only a proxy knows the path prefix of the page.
  base: './',
  plugins: [svelte(), compress()],
  // The client is built from its sources, together with the page.
  resolve: { conditions: ['mist-source', ...defaultClientConditions] },
  build: {
    outDir: '../api/page',
    emptyOutDir: true,
    target: 'es2022',
    // Inlined files would be data: addresses, which the page's policy allows for images only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  server: {
    proxy: {
      '/api': { target: service },
      '/ws': { target: service, ws: true },
    },
  },
  test: { include: ['test/**/*.test.ts'] },
});
