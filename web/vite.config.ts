import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defaultClientConditions } from 'vite';
import { defineConfig } from 'vitest/config';

/** The service that `npm run dev` shows: `MIST_URL=http://127.0.0.1:8420 npm run dev`. */
const service = process.env.MIST_URL ?? 'http://127.0.0.1:8420';

export default defineConfig({
  // Every address of the page is one segment deep, so relative files are right on all of them.
  base: './',
  plugins: [svelte()],
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
