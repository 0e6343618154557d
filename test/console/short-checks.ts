import { hindrances } from './accessible.ts';
import { MODEL, must, type Check } from './stand.ts';
import { isIn, Visit } from './visit.ts';

const KEPT = `JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.length])`;

/** What `npm test` shows. */
export const SHORT: readonly Check[] = [
  {
    name: 'a browser gets the console on /, and an answer streams, with its times and usage',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      const answer = await visit.ask('What is a penstock?');
      await isIn(answer, 'complete');
      const text = await answer.innerText();
      must(text.includes('You asked: "What is a penstock?"'), text);
      for (const figure of [/first token\s*[\d,.]+ m?s/, /queue\s*[\d,.]+ m?s/, /tokens\/s\s*[\d.]+/, /prompt\s*\d+/])
        must(figure.test(text), `${figure} is not in ${text}`);
      const steps = await visit.stepsOfAnswer();
      must(steps > 3, `the answer came in ${steps} steps`);
      return text.split('\n').slice(1).join(' ');
    },
  },
  {
    name: 'nothing hinders people seriously in the playground, in light colours',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.stack.url);
      await visit.page.getByLabel('Model').waitFor();
      const found = await hindrances(visit.page);
      must(found.length === 0, found.join('\n'));
      return '';
    },
  },
  {
    name: 'a key is asked for, a wrong one is refused, the right one is in no storage, and can be forgotten',
    run: async (stand) => {
      await using visit = await Visit.open(stand, stand.keyedUrl);
      const { page } = visit;
      await visit.enterKey('penstock_wrong');
      await page.getByText('The gateway does not accept this key').waitFor();
      await visit.enterKey(stand.callerKey);
      await isIn(await visit.ask('hello'), 'complete');
      const kept = String(await page.evaluate(KEPT));
      must(kept.startsWith('[{},{},"",') && !kept.includes(stand.callerKey), `kept: ${kept.slice(0, 300)}`);
      must((await page.context().cookies()).length === 0, 'there is a cookie');
      const [html, state] = [await page.content(), await page.context().storageState()];
      must(!`${html}${JSON.stringify(state)}`.includes(stand.callerKey), 'the key is in the page or its state');
      await visit.goTo('Live');
      await page.getByText('It needs a key with the scope operate').waitFor();
      await page.getByRole('button', { name: 'Forget key' }).click();
      await page.getByLabel('Key or token').waitFor();
      await visit.enterKey(stand.operatorKey);
      await page.getByRole('heading', { name: 'Engines' }).waitFor();
      await visit.goTo('Playground');
      must((await visit.answers.count()) === 0, 'the conversation of the forgotten key is still there');
      return `${MODEL}, two keys`;
    },
  },
];
