import { expect, test } from '@jest/globals';
import { LiveFeed } from '../../../gateway/console/live/live-feed.ts';
import { Session } from '../../../gateway/console/session.ts';
import { fakeFetch, refused, streamed } from './fake-fetch.ts';

const SESSION = { version: '0.2.0', keys: true, keyId: 'team-oslo', operate: false, usageDays: 90 };
const RIGHT = 'Bearer penstock_right';

test('a key is asked for, a wrong one is refused, and a forgotten one is sent no more', async () => {
  using gateway = fakeFetch(({ key }) => (key === RIGHT ? Response.json(SESSION) : refused(401, 'unauthorized')));
  const session = new Session();
  await session.load();
  expect(session.state.value).toEqual({ kind: 'asking', note: undefined });
  await session.useKey('with a space');
  expect(session.state.value).toMatchObject({ kind: 'asking', note: expect.stringContaining('without spaces') });
  await session.useKey('penstock_wrong');
  expect(session.state.value).toMatchObject({ kind: 'asking', note: expect.stringContaining('does not accept') });
  await session.useKey(' penstock_right\n');
  expect(session.state.value).toEqual({ kind: 'open', session: SESSION });
  session.forgetKey();
  await session.load();
  expect(gateway.sent.map(({ key }) => key)).toEqual([null, 'Bearer penstock_wrong', RIGHT, null]);
});

test('a key that is revoked later is asked for again', async () => {
  let isValid = true;
  using _gateway = fakeFetch(() => (isValid ? Response.json(SESSION) : refused(401, 'unauthorized')));
  const session = new Session();
  await session.useKey('penstock_right');
  isValid = false;
  const found = await session.gateway.get('/console/models', (value): value is unknown => value !== undefined);
  expect([found.ok, session.state.value]).toEqual([
    false,
    { kind: 'asking', note: expect.stringContaining('revoked') },
  ]);
});

test('no gateway, another version, and a refusal are told apart', async () => {
  const session = new Session();
  for (const [answer, message] of [
    [() => Promise.reject(new TypeError('fetch failed')), /did not answer/],
    [() => new Response('<html>'), /another version/],
    [() => refused(503, 'shutting_down'), /it is shutting_down/],
  ] as const) {
    using _gateway = fakeFetch(answer);
    await session.load();
    expect(session.state.value).toMatchObject({ kind: 'failed', refusal: { message: expect.stringMatching(message) } });
  }
});

test('the live page follows events and comments, and does not ask again without the scope', async () => {
  const { gateway } = new Session();
  const view = { replica: 'g1', stage: 'serving', openRequests: 0, engines: [], queues: [], admission: {}, redis: [] };
  const events = [
    { ...view, requests: [] },
    { ...view, openRequests: 2, requests: [] },
  ];
  const pieces = [...events.map((event) => `data: ${JSON.stringify(event)}\n\n`), ': nothing new\n\n'];
  const feed = new LiveFeed(gateway);
  {
    using _events = fakeFetch(({ signal }) => streamed(pieces, signal));
    const seen = new Promise<void>((resolve) => {
      feed.state.follow(() => feed.state.value.view?.openRequests === 2 && resolve());
    });
    feed.start();
    await seen;
    expect(feed.state.value).toMatchObject({ isOpen: true, refusal: undefined });
    feed.stop();
  }
  using without = fakeFetch(() => refused(403, 'forbidden'));
  const refusal = new Promise<void>((resolve) => {
    feed.state.follow(() => feed.state.value.refusal?.code === 'forbidden' && resolve());
  });
  feed.start();
  await refusal;
  expect(without.sent.map(({ path }) => path)).toEqual(['/console/live']);
  feed.stop();
});
