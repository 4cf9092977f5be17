import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  preprocess: vitePreprocess(),
  compilerOptions: {
    runes: true,
    // Short names of scopes: the page has a budget (vite.config.ts).
    cssHash: ({ hash, css }) => `s${hash(css).slice(0, 4)}`,
  },
};
