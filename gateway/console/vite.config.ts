import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';

const PREACT_LICENCE = 'node_modules/preact/LICENSE';

/** The build has no inline script and no inline style, so that the page's policy can refuse both. */
// oxlint-disable-next-line import/no-default-export -- vite requires it
export default defineConfig({
  root: import.meta.dirname,
  base: '/console/',
  resolve: { conditions: ['gateway-source', 'module', 'browser'] },
  plugins: [
    {
      name: 'licences',
      // The notice of each package that the build contains must travel with it.
      generateBundle() {
        const notice = readFileSync(new URL(`../../${PREACT_LICENCE}`, import.meta.url), 'utf8');
        this.emitFile({ type: 'asset', fileName: 'assets/LICENSES.txt', source: `preact\n\n${notice}` });
      },
    },
  ],
  build: {
    outDir: '../../dist/gateway/console',
    // While `npm run dev` builds again, a gateway serves the files of the build before it.
    emptyOutDir: !process.argv.includes('--watch'),
    target: 'es2022',
    modulePreload: { polyfill: false },
    // A data URI in a style is an asset that no policy of 'self' allows.
    assetsInlineLimit: 0,
    sourcemap: false,
    reportCompressedSize: false,
  },
});
