import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { png } from '../support/pictures.ts';
import { ROOT } from '../support/start-process.ts';
import { hindrances } from './accessible.ts';
import { withFewColours } from './picture-colours.ts';
import { must, type Check, type Stand } from './stand.ts';
import { DESKTOP, isIn, Visit, type Look, type Theme } from './visit.ts';

const BUILD = join(ROOT, 'dist/gateway/console');
const TITLES = ['Playground', 'Live', 'Models', 'Usage'];
const THEMES: readonly Theme[] = ['light', 'dark'];
const PHONE = { width: 390, height: 844 };
const NARROWEST = { width: 360, height: 740 };
/** Most that a picture in the repository has, in bytes. */
const MOST_BYTES = 100_000;
const TRIES = 5;

/** Notes when the question can be written. */
const WATCH_FOR_QUESTION = `new MutationObserver((_changes, watch) => {
  if (document.getElementById('question') === null) return;
  globalThis.interactiveMs = performance.now();
  watch.disconnect();
}).observe(document, { childList: true, subtree: true })`;

/** @param screenshots folder for pictures of each page; undefined: none are taken */
export function lookChecks(screenshots: string | undefined): Check[] {
  return [
    { name: 'nothing hinders people seriously on any page, light and dark', run: accessible },
    { name: 'no page scrolls sideways on a phone of 360 pixels', run: narrow },
    { name: 'size of the build, and time until a question can be written', run: size },
    ...(screenshots === undefined
      ? []
      : [{ name: 'pictures of each page', run: (stand: Stand) => pictures(stand, screenshots) }]),
  ];
}

/** Opens each page with something on it. */
async function eachPage(stand: Stand, look: Look, see: (visit: Visit, title: string) => Promise<void>): Promise<void> {
  await using visit = await Visit.open(stand, stand.stack.url, look);
  await visit.page.getByLabel('Model').waitFor();
  await visit.drop({ 'house.png': png(160, 100).toString('base64') });
  await visit.page.getByRole('img', { name: 'picture house.png' }).waitFor();
  await isIn(await visit.ask('What is shown in this picture?'), 'complete');
  for (const title of TITLES) {
    await visit.goTo(title);
    if (title === 'Live')
      await visit.page
        .getByRole('button', { name: /^Open request/ })
        .first()
        .waitFor();
    if (title === 'Models') await visit.page.getByRole('heading', { name: 'Rules' }).waitFor();
    if (title === 'Usage') await visit.page.getByRole('table').waitFor();
    await see(visit, title);
  }
}

async function accessible(stand: Stand): Promise<string> {
  const found: string[] = [];
  let pages = 0;
  for (const theme of THEMES)
    await eachPage(stand, { ...DESKTOP, theme }, async ({ page }, title) => {
      pages += 1;
      if (title === 'Playground') await page.getByText('This request as code').click();
      if (title === 'Live')
        await page
          .getByRole('button', { name: /^Open request/ })
          .first()
          .click();
      for (const one of await hindrances(page)) found.push(`${title}, ${theme}: ${one}`);
      if (title === 'Live') await page.keyboard.press('Escape');
    });
  await using asked = await Visit.open(stand, stand.keyedUrl);
  await asked.page.getByLabel('Key or token').waitFor();
  for (const one of await hindrances(asked.page)) found.push(`Key: ${one}`);
  must(found.length === 0, found.join('\n'));
  return `${pages} pages and the form for the key`;
}

async function narrow(stand: Stand): Promise<string> {
  const wide: string[] = [];
  await eachPage(stand, { ...NARROWEST, theme: 'light' }, async ({ page }, title) => {
    const width = Number(await page.evaluate('document.documentElement.scrollWidth'));
    if (width > NARROWEST.width) wide.push(`${title}: ${width} px`);
  });
  must(wide.length === 0, wide.join(', '));
  return `${TITLES.length} pages`;
}

async function size(stand: Stand): Promise<string> {
  const assets = readdirSync(join(BUILD, 'assets')).filter((name) => /\.(js|css|svg)$/.test(name));
  const files = ['index.html', ...assets.map((name) => `assets/${name}`)];
  const bytes = files.reduce((sum, name) => sum + gzipSync(readFileSync(join(BUILD, name))).length, 0);
  const times: number[] = [];
  for (let tries = 0; tries < TRIES; tries += 1) {
    await using visit = await Visit.open(stand, stand.stack.url, DESKTOP, WATCH_FOR_QUESTION);
    await visit.page.getByLabel('Question', { exact: true }).waitFor();
    times.push(Number(await visit.page.evaluate('globalThis.interactiveMs')));
  }
  const median = times.sort((a, b) => a - b)[Math.floor(TRIES / 2)] ?? 0;
  must(bytes < 60_000, `the build has ${bytes} bytes`);
  return `${(bytes / 1_000).toFixed(1)} kB, compressed; ${Math.round(median)} ms (median of ${TRIES}, on loopback)`;
}

async function pictures(stand: Stand, folder: string): Promise<string> {
  const large: string[] = [];
  for (const theme of THEMES)
    for (const [name, { width, height }] of Object.entries({ phone: PHONE, desktop: DESKTOP }))
      await eachPage(stand, { theme, width, height }, async ({ page }, title) => {
        const path = join(folder, `${title.toLowerCase()}-${name}-${theme}.png`);
        const picture = withFewColours(await page.screenshot());
        writeFileSync(path, picture);
        if (picture.length > MOST_BYTES) large.push(`${path}: ${picture.length} bytes`);
      });
  must(large.length === 0, large.join('\n'));
  return `${TITLES.length * 4} files in ${folder}`;
}
