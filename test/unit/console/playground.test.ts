import { expect, test } from '@jest/globals';
import { Playground } from '../../../gateway/console/playground/playground.ts';
import { Session } from '../../../gateway/console/session.ts';
import { fakeFetch, refused, streamed, type Sent } from './fake-fetch.ts';
import { MODEL } from './model.ts';

const text = (content: string): string => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
const DONE = 'data: [DONE]\n\n';

async function loaded(): Promise<Playground> {
  const playground = new Playground(new Session().gateway);
  await playground.loadModels();
  return playground;
}
const answering =
  (chat: () => Response) =>
  ({ path }: Sent): Response =>
    path === '/console/models' ? Response.json({ models: [MODEL] }) : chat();

test('a question is answered as it comes, and the next request has the turn before it', async () => {
  using gateway = fakeFetch(answering(() => streamed([text('one'), `${text(' two')}${DONE}`])));
  const playground = await loaded();
  playground.write({ text: 'count' });
  await playground.send();
  expect(playground.state.value.turns[0]?.answer).toMatchObject({ state: 'complete', text: 'one two', events: 2 });
  playground.write({ text: 'go on' });
  await playground.send();
  expect(JSON.parse(gateway.sent.at(-1)?.body ?? '')).toMatchObject({
    messages: [
      { role: 'user', content: 'count' },
      { role: 'assistant', content: 'one two' },
      { role: 'user', content: 'go on' },
    ],
  });
});

test('a refused question is written again, with why and when', async () => {
  using _gateway = fakeFetch(answering(() => refused(429, 'queue_full', { 'retry-after': '7' })));
  const playground = await loaded();
  playground.write({ text: 'count' });
  await playground.send();
  expect(playground.state.value).toMatchObject({
    turns: [],
    text: 'count',
    refusal: { code: 'queue_full', status: 429, retryAfterSeconds: 7 },
  });
});

test('an answer that breaks keeps its words and says so', async () => {
  using _gateway = fakeFetch(answering(() => streamed([text('half')], 'break')));
  const playground = await loaded();
  playground.write({ text: 'count' });
  await playground.send();
  expect(playground.state.value.turns[0]?.answer).toMatchObject({
    state: 'failed',
    text: 'half',
    refusal: { message: expect.stringContaining('connection broke') },
  });
});

test('a second picture takes the place of the first, and two are refused', async () => {
  using _gateway = fakeFetch(answering(() => streamed([DONE])));
  const playground = await loaded();
  const file = (name: string): { name: string; type: string; size: number } => ({ name, type: 'image/png', size: 9 });
  const read = (): Promise<string> => Promise.resolve('data:image/png;base64,AAAA');
  await playground.addPictures([file('a')], read);
  await playground.addPictures([file('b')], read);
  expect(playground.state.value).toMatchObject({
    pictures: [{ name: 'b' }],
    note: expect.stringContaining('replaced'),
  });
  await playground.addPictures([file('c'), file('d')], read);
  expect(playground.state.value).toMatchObject({
    pictures: [{ name: 'b' }],
    note: expect.stringContaining('Choose one'),
  });
});

test('nothing of a conversation stays when the key is forgotten', async () => {
  using _gateway = fakeFetch(answering(() => streamed([text('secret'), DONE])));
  const playground = await loaded();
  playground.write({ text: 'count', system: 'rules' });
  await playground.send();
  playground.forget();
  expect(JSON.stringify(playground.state.value)).not.toMatch(/secret|count|rules/);
});
