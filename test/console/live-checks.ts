import { MODEL, must, type Check } from './stand.ts';
import { isIn, Visit } from './visit.ts';

export const LIVE: readonly Check[] = [
  {
    name: 'an engine that is killed is seen to fall and to return, with what happened',
    run: async (stand) => {
      await using visit = await Visit.open(stand, `${stand.stack.url}/#/live`);
      const { page } = visit;
      const row = page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: 'engine-1' }) });
      await row.getByText('ready', { exact: true }).waitFor();
      const { workers } = await stand.stack.status();
      const pid = workers[0]?.engines.find(({ id }) => id === 'engine-1')?.pid;
      must(typeof pid === 'number', 'the engine has no process');
      process.kill(pid ?? 0, 'SIGKILL');
      await row.getByText(/^(backoff|starting|warming|suspect|stopped)$/).waitFor();
      const fallen = await row.innerText();
      await row.getByText('ready', { exact: true }).waitFor({ timeout: 60_000 });
      await row.getByRole('cell', { name: '1', exact: true }).waitFor();
      return `${fallen.split('\t')[1] ?? ''}; then ${(await row.innerText()).split('\t').slice(8).join(', ')}`;
    },
  },
  {
    name: 'a request that ends is in the list without a reload, and opens as a timeline',
    run: async (stand) => {
      await using live = await Visit.open(stand, `${stand.stack.url}/#/live`);
      await live.page.getByRole('heading', { name: 'Last requests' }).waitFor();
      await using playground = await Visit.open(stand, stand.stack.url);
      const before = await live.page.getByRole('button', { name: /^Open request/ }).count();
      await isIn(await playground.ask('hello'), 'complete');
      const rows = live.page.getByRole('button', { name: /^Open request/ });
      await rows.nth(before).waitFor();
      await rows.first().click();
      const dialog = live.page.getByRole('dialog');
      const text = await dialog.innerText();
      for (const part of ['queue', 'engine, until the first byte', MODEL, '/v1/chat/completions'])
        must(text.includes(part), `${part} is not in ${text}`);
      must((await dialog.locator('svg rect').count()) === 4, 'the timeline has not four phases');
      await live.page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'detached' });
      await live.page.getByLabel('Show').selectOption('refused');
      await live.page.getByRole('heading', { name: 'Redis' }).waitFor();
      return text.split('\n').slice(0, 6).join(' ');
    },
  },
  {
    name: 'usage rises with a request, and an operator sees the usage of other keys',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.keyedUrl);
      const { page } = visit;
      await visit.enterKey(stand.operatorKey);
      await isIn(await visit.ask('hello'), 'complete');
      await visit.goTo('Usage');
      const sum = page.locator('[data-sum="requests"]');
      const before = Number((await sum.innerText()).replaceAll(',', ''));
      await visit.goTo('Playground');
      await isIn(await visit.ask('hello again'), 'complete');
      await visit.goTo('Usage');
      let after = before;
      for (let tries = 0; tries < 50 && after <= before; tries += 1) {
        await page.getByRole('button', { name: 'Refresh' }).click();
        await page.waitForLoadState('networkidle');
        after = Number((await sum.innerText()).replaceAll(',', ''));
      }
      must(after > before, `requests: ${before}, then ${after}`);
      return `requests: ${before}, then ${after}`;
    },
  },
  {
    name: 'the page says that its data are old, and goes on when the gateway answers again',
    run: async (stand) => {
      await using visit = await Visit.open(stand, `${stand.stack.url}/#/live`);
      const { page } = visit;
      await page.getByText('live', { exact: true }).waitFor();
      const gateway = stand.stack.gateways[0]?.child;
      gateway?.kill('SIGSTOP');
      try {
        await page.getByText(/connecting again; the data are .* old/).waitFor({ timeout: 60_000 });
      } finally {
        gateway?.kill('SIGCONT');
      }
      await page.getByText('live', { exact: true }).waitFor({ timeout: 60_000 });
      return 'after a pause of the gateway';
    },
  },
];
