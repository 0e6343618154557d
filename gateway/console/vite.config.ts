import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vite';

const PACKAGES = join(import.meta.dirname, '../../node_modules');
/** The name of the package that a module belongs to. */
const PACKAGE = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//;

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
      generateBundle(_options, bundle) {
        const modules = Object.values(bundle).flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
        const packages = new Set(modules.flatMap((id) => PACKAGE.exec(id)?.[1] ?? []));
        const notices = [...packages].map(
          (name) => `${name}\n\n${readFileSync(join(PACKAGES, name, 'LICENSE'), 'utf8')}`,
        );
        this.emitFile({ type: 'asset', fileName: 'assets/LICENSES.txt', source: notices.join('\n') });
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
