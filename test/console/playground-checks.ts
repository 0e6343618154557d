import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Locator } from 'playwright-core';
import { z } from 'zod';
import { newsIn } from '../../gateway/console/playground/answer.ts';
import { EventReader } from '../../gateway/console/server-events.ts';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { png } from '../support/pictures.ts';
import { ROOT, temporaryFolder } from '../support/start-process.ts';
import { must, type Check, type Stand } from './stand.ts';
import { isIn, Visit } from './visit.ts';

const run = promisify(execFile);
const PICTURE = png(64, 48);
const [ONE, OTHER] = [PICTURE.toString('base64'), png(20, 30).toString('base64')];
const RULE = 'takes 1 picture in a conversation';

export const PLAYGROUND: readonly Check[] = [
  {
    name: 'a picture is dropped, and the answer is about it; a second turn knows the first',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      await visit.page.getByLabel('Model').waitFor();
      await visit.drop({ 'cat.png': ONE });
      await visit.page.getByRole('img', { name: 'picture cat.png' }).waitFor();
      const answer = await visit.ask('What is shown?');
      await isIn(answer, 'complete');
      const text = await answer.innerText();
      must(text.includes('PNG picture of 64 x 48 pixels'), text);
      const second = await visit.ask('And now?');
      await isIn(second, 'complete');
      return (await second.innerText()).slice(0, 60);
    },
  },
  {
    name: 'the rule of one picture is shown and not hit: two, one more, and one after it was sent',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      const { page } = visit;
      await page.getByText(RULE).first().waitFor();
      await visit.drop({ 'a.png': ONE, 'b.png': OTHER });
      await page.getByText(`${RULE}. You gave 2. Choose one.`).waitFor();
      await visit.drop({ 'a.png': ONE });
      await page.getByRole('img', { name: 'picture a.png' }).waitFor();
      await visit.drop({ 'b.png': OTHER });
      await page.getByText('The earlier one was replaced.').waitFor();
      const answer = await visit.ask('Which size?');
      await isIn(answer, 'complete');
      must((await answer.innerText()).includes('20 x 30'), await answer.innerText());
      await visit.drop({ 'a.png': ONE });
      await page.getByText('This one has it already').waitFor();
      must(visit.posts.length === 1, `requests: ${visit.posts.join(', ')}`);
      return '1 request, status 200';
    },
  },
  {
    name: 'an answer that has HTML is shown as text',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      const answer = await visit.ask('<b>bold</b><img src=x onerror="document.title=1">');
      await isIn(answer, 'complete');
      must((await answer.innerText()).includes('<b>bold</b><img src=x'), await answer.innerText());
      must((await answer.locator('b, img').count()) === 0, 'the answer has elements of its own');
      return '';
    },
  },
  {
    name: 'stop ends an answer, and its slot is free',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      await setAllFaults(stand, { slow: 50 });
      const answer = await visit.ask('A long tale.');
      await isIn(answer, 'streaming');
      await eventually('a slot is in use', async () => (await inFlight(stand)) === 1, 10_000);
      const began = performance.now();
      await visit.page.getByRole('button', { name: 'Stop' }).click();
      await isIn(answer, 'stopped');
      await eventually('no slot is in use', async () => (await inFlight(stand)) === 0, 10_000);
      await setAllFaults(stand, null);
      return `free after ${Math.round(performance.now() - began)} ms`;
    },
  },
  {
    name: 'a refusal has its code, and the question can be changed and sent again',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      const { page } = visit;
      await page.getByLabel('Model').waitFor();
      await visit.drop({ 'broken.png': PICTURE.subarray(0, 40).toString('base64') });
      await page.getByRole('img', { name: 'picture broken.png' }).waitFor({ state: 'attached' });
      await page.getByLabel('Question', { exact: true }).fill('What is it?');
      await page.keyboard.press('Enter');
      const told = await page.getByRole('alert').filter({ hasText: 'Refused' }).innerText();
      must(/code\s*invalid_image/.test(told) && /status\s*400/.test(told), told);
      await page.getByRole('button', { name: 'Remove picture' }).click();
      must((await page.getByLabel('Question', { exact: true }).inputValue()) === 'What is it?', 'the question is gone');
      await page.getByLabel(/^Longest answer/).fill('9000');
      await page.getByText('a whole number from 1 to 4,096').first().waitFor();
      must(
        await page.getByRole('button', { name: 'Send' }).isDisabled(),
        'more tokens than the card allows can be sent',
      );
      return told.replaceAll('\n', ' ');
    },
  },
  {
    name: 'a limit of the key is shown with its numbers, and with the time of the next try',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.keyedUrl);
      const { page } = visit;
      await visit.enterKey(stand.limitedKey);
      await isIn(await visit.ask('first'), 'complete');
      await visit.ask('second');
      const told = await page.getByRole('alert').filter({ hasText: 'Refused' }).innerText();
      for (const fact of [
        /code\s*rate_limit_exceeded/,
        /asked\s*\d/,
        /allowed\s*1\b/,
        /try again in\s*\d+.* s/,
        /status\s*429/,
      ])
        must(fact.test(told), `${fact} is not in ${told}`);
      must((await page.getByLabel('Question', { exact: true }).inputValue()) === 'second', 'the question is gone');
      return told.replaceAll('\n', ' ');
    },
  },
  {
    name: 'a question that waits shows its place in the queue, and then how long it waited',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      // A dispatcher that pauses takes no request.
      const { workers } = await stand.stack.status();
      const pids = workers.map(({ pid }) => pid);
      let answer: Locator;
      for (const pid of pids) process.kill(pid, 'SIGSTOP');
      try {
        answer = await visit.ask('hello');
        await answer.getByText(/^Waits in the queue, place 1/).waitFor();
      } finally {
        for (const pid of pids) process.kill(pid, 'SIGCONT');
      }
      await isIn(answer, 'complete');
      const text = await answer.innerText();
      must(/queue\s*[1-9][\d.]* s/.test(text), text);
      return text.split('\n').slice(1).join(' ');
    },
  },
  {
    name: 'the keyboard is enough: the link to the content, a picture that is chosen, and other colours',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      const { page } = visit;
      await page.getByLabel('Model').waitFor();
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      must((await page.evaluate('document.activeElement.id')) === 'main', 'the link does not lead to the content');
      const chooser = page.waitForEvent('filechooser');
      await page.getByRole('button', { name: 'Choose a picture' }).focus();
      await page.keyboard.press('Enter');
      await (await chooser).setFiles({ name: 'cat.png', mimeType: 'image/png', buffer: PICTURE });
      await page.getByRole('img', { name: 'picture cat.png' }).waitFor();
      const ground = 'getComputedStyle(document.body).backgroundColor';
      const before = String(await page.evaluate(ground));
      await page.getByLabel('Colours').selectOption('dark');
      await page.waitForFunction(`${ground} === 'rgb(17, 22, 23)'`);
      const after = String(await page.evaluate(ground));
      must(after !== before, `the ground stays ${before}`);
      return `the ground is ${before}, then ${after}`;
    },
  },
  {
    name: 'the request as code is answered: curl, OpenAI’s SDK for Node, and /score, with the picture as a file',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      const { page } = visit;
      await page.getByLabel('Model').waitFor();
      await visit.drop({ 'cat.png': ONE });
      await page.getByRole('img', { name: 'picture cat.png' }).waitFor();
      await page.getByLabel('Question', { exact: true }).fill('It’s "$5" `here`?');
      await page.getByText('This request as code').click();
      using folder = temporaryFolder();
      writeFileSync(join(folder.path, 'picture.png'), PICTURE);
      const seen: string[] = [];
      for (const [title, command] of [
        ['curl', ['sh', '-c']],
        ['Azure /score', ['sh', '-c']],
        ['OpenAI, Node', [process.execPath, '--input-type=module', '--eval']],
      ] as const) {
        await page.getByRole('button', { name: title }).click();
        const code = await page.getByLabel(`The request: ${title}`).innerText();
        const [program, ...args] = command;
        // The SDK is found from the folder of the repository.
        const file = join(folder.path, 'picture.png');
        const [cwd, text] = title.startsWith('OpenAI')
          ? [ROOT, code.replace('picture.png', file)]
          : [folder.path, code];
        const { stdout } = await run(program, [...args, text], { cwd, timeout: 30_000 });
        const answer = answerIn(stdout);
        must(answer.includes('64 x 48') && answer.includes('"$5"'), `${title}: ${answer.slice(0, 500)}`);
        seen.push(title);
      }
      return seen.join('; ');
    },
  },
];

/** The text of an answer: of a stream, of `/score`, or as a program printed it. */
function answerIn(output: string): string {
  if (output.startsWith('{')) return z.object({ output: z.string() }).parse(JSON.parse(output)).output;
  if (!output.startsWith('data:')) return output;
  const news = new EventReader().push(output).flatMap(newsIn);
  return news.map((one) => (one.kind === 'text' ? one.text : '')).join('');
}

async function setAllFaults({ stack }: Stand, faults: object | null): Promise<void> {
  const { workers } = await stack.status();
  await Promise.all(workers.flatMap(({ engines }) => engines.map((engine) => setFaults(engine, faults))));
}

async function inFlight({ stack }: Stand): Promise<number> {
  const { workers } = await stack.status();
  return workers
    .flatMap(({ engines }) => engines)
    .reduce((sum, { inFlight: { text, image } }) => sum + text + image, 0);
}
