import { expect, test } from '@jest/globals';
import { connect } from 'node:net';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { png } from '../support/pictures.ts';
import { eventsOf, startSimulator, textOf } from './simulator-process.ts';

interface Answer {
  readonly id: string;
  readonly choices: readonly { readonly message: { readonly content: string }; readonly finish_reason: string }[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
}

async function answerOf(res: Response): Promise<Answer> {
  return (await res.json()) as Answer;
}

test('a starting simulator refuses connections until it is ready, and logs its progress in vLLM’s words', async () => {
  await using simulator = await startSimulator(['--sim-start-ms', '400'], { isReady: false });
  await eventually('a first line', () => simulator.output().includes('Resolved architecture'));
  expect(await simulator.health()).toBe(0);
  await eventually('ready', async () => (await simulator.health()) === 200);
  const milestones = [
    'non-default args',
    'Resolved architecture',
    'Using max model len',
    'Starting to load model',
    'Loading weights took',
    'KV cache size',
    'init engine',
    'Starting vLLM server on',
    'Application startup complete',
  ];
  // The port may answer before the test has read the last lines.
  await eventually('a last line', () => simulator.output().includes('Application startup complete'));
  const places = milestones.map((line) => simulator.output().indexOf(line));
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  expect(places).not.toContain(-1);
});

test.each([
  [['--no-such-flag'], {}, 2, 'error: unrecognized arguments: --no-such-flag'],
  [['--limit-mm-per-prompt', '{image:1}'], {}, 2, 'argument --limit-mm-per-prompt'],
  [['--sim-profile', 'fast'], {}, 2, '--sim-profile'],
  [[], { PENSTOCK_SIM_TTFT: '5' }, 2, 'PENSTOCK_SIM_TTFT'],
  [['--max-model-len', '999999'], {}, 1, 'greater than the derived max_model_len'],
])('flags %j with %j: exit code %i and vLLM’s sentence', async (flags, env, code, sentence) => {
  await using simulator = await startSimulator(flags, { env, isReady: false });
  expect(await simulator.exited).toMatchObject({ code });
  expect(simulator.output()).toContain(sentence);
});

test('a port in use: exit code 1, address already in use', async () => {
  await using first = await startSimulator();
  await using second = await startSimulator([], { port: first.port, isReady: false });
  expect(await second.exited).toMatchObject({ code: 1 });
  expect(second.output()).toContain('Address already in use');
});

test('a stream has the role, one event for each token, usage and [DONE], at the configured pace', async () => {
  await using simulator = await startSimulator(['--sim-ttft-ms', '60', '--sim-itl-ms', '10']);
  const begun = performance.now();
  const res = await simulator.ask({
    stream: true,
    max_tokens: 20,
    ignore_eos: true,
    stream_options: { include_usage: true },
  });
  const events = await eventsOf(res);
  expect(performance.now() - begun).toBeGreaterThan(60 + 19 * 10 - 20);
  expect(events).toHaveLength(1 + 20 + 1 + 1);
  expect(events[0]).toContain('"role":"assistant"');
  expect(events.at(-3)).toContain('"finish_reason":"length"');
  expect(events.at(-2)).toContain('"choices":[],"usage":{"prompt_tokens":6,"total_tokens":26,"completion_tokens":20}');
  expect(events.at(-1)).toBe('[DONE]');
});

test('an answer that is continued after any token is the same as the uncut answer', async () => {
  await using simulator = await startSimulator(['--mm-processor-kwargs', '{"num_crops":4}']);
  const url = `data:image/png;base64,${png(64, 48).toString('base64')}`;
  const asked = {
    role: 'user',
    content: [
      { type: 'image_url', image_url: { url } },
      { type: 'text', text: 'What is this?' },
    ],
  };
  const events = await eventsOf(
    await simulator.ask({ messages: [asked], stream: true, stream_options: { include_usage: true } }),
  );
  const whole = textOf(events);
  expect(whole).toContain('PNG picture of 64 x 48 pixels');
  expect(whole).toContain('What is this?');
  const tokens = events.slice(1, -2).map((event) => textOf([event]));
  const total = Number(/"total_tokens":(\d+)/.exec(events.at(-2) ?? '')?.[1]);
  for (let cut = 1; cut < tokens.length; cut += 1) {
    const prefix = tokens.slice(0, cut).join('');
    const res = await simulator.ask({
      messages: [asked, { role: 'assistant', content: prefix }],
      add_generation_prompt: false,
      continue_final_message: true,
    });
    const { choices, usage } = await answerOf(res);
    expect(prefix + (choices[0]?.message.content ?? '')).toBe(whole);
    expect(usage.prompt_tokens + usage.completion_tokens).toBe(total);
  }
});

test.each([true, false])('a client that leaves ends its generation immediately (stream %s)', async (stream) => {
  await using simulator = await startSimulator(['--sim-itl-ms', '20']);
  const leave = new AbortController();
  const asked = simulator.ask({ stream, max_tokens: 10_000, ignore_eos: true }, leave.signal).catch(() => undefined);
  await eventually('running', async () => (await simulator.metric('vllm:num_requests_running')) === 1);
  leave.abort();
  await asked;
  await eventually('stopped', async () => (await simulator.metric('vllm:num_requests_running')) === 0);
  expect(simulator.output()).toContain('Aborted request(s)');
  expect(await simulator.metric('vllm:kv_cache_usage_perc')).toBe(0);
});

test('a half-closed connection counts as a client that left: it gets no answer', async () => {
  await using simulator = await startSimulator(['--sim-itl-ms', '20']);
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }], max_tokens: 50, ignore_eos: true });
  const socket = connect({ port: simulator.port, host: '127.0.0.1', allowHalfOpen: true });
  let answer = '';
  socket.on('data', (bytes) => (answer += String(bytes)));
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await eventually('running', async () => (await simulator.metric('vllm:num_requests_running')) === 1);
  socket.end();
  await once(socket, 'close');
  expect(answer).toBe('');
  expect(await simulator.metric('vllm:num_requests_running')).toBe(0);
});

test('requests beyond --max-num-seqs wait, and beyond --max-num-queued-reqs get 503', async () => {
  await using simulator = await startSimulator([
    '--max-num-seqs',
    '1',
    '--max-num-queued-reqs',
    '3',
    '--sim-itl-ms',
    '10',
  ]);
  const held = [1, 2, 3].map(() => simulator.ask({ stream: true, max_tokens: 30, ignore_eos: true }).then(eventsOf));
  await eventually('two wait', async () => (await simulator.metric('vllm:num_requests_waiting')) === 2);
  const refused = await simulator.ask({ max_tokens: 1 });
  expect(refused.status).toBe(503);
  expect(await refused.text()).toContain('"type":"Service Unavailable"');
  expect((await Promise.all(held)).map((events) => events.at(-1))).toEqual(['[DONE]', '[DONE]', '[DONE]']);
  expect(await simulator.metric('vllm:admission_rejections_total')).toBe(1);
});

test('counters advance with the work: requests, tokens, engine steps', async () => {
  await using simulator = await startSimulator();
  await simulator.ask({ max_tokens: 7, ignore_eos: true }).then((res) => res.text());
  expect(await simulator.metric('vllm:generation_tokens_total')).toBe(7);
  expect(await simulator.metric('vllm:prompt_tokens_total')).toBe(6);
  expect(await simulator.metric('vllm:iteration_tokens_total_count')).toBe(7);
  expect(await simulator.metric('vllm:time_to_first_token_seconds_count')).toBe(1);
});

test('the same seed gives the same answer, another seed another one', async () => {
  await using simulator = await startSimulator();
  const words = async (seed: number): Promise<string> => {
    const answer = await answerOf(await simulator.ask({ seed, temperature: 1, max_tokens: 40, ignore_eos: true }));
    return answer.choices[0]?.message.content ?? '';
  };
  const first = await words(1);
  expect(await words(1)).toBe(first);
  expect(await words(2)).not.toBe(first);
});

test('X-Request-Id becomes the id of the answer', async () => {
  await using simulator = await startSimulator(['--enable-request-id-headers']);
  const res = await fetch(`${simulator.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': 'gw-1' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 }),
  });
  expect(res.headers.get('x-request-id')).toBe('gw-1');
  expect(await answerOf(res)).toMatchObject({ id: 'chatcmpl-gw-1' });
});

test('after a prefix that ends in a broken character the answer contains the prompt, as in vLLM', async () => {
  await using simulator = await startSimulator();
  const res = await simulator.ask({
    messages: [
      { role: 'user', content: 'my secret' },
      { role: 'assistant', content: 'One \uFFFD' },
    ],
    add_generation_prompt: false,
    continue_final_message: true,
  });
  expect((await answerOf(res)).choices[0]?.message.content).toContain('my secret');
});

test('--stream-interval 4 puts four tokens into each event after the first', async () => {
  await using simulator = await startSimulator(['--stream-interval', '4']);
  const asked = { stream: true, max_tokens: 14, ignore_eos: true };
  const events = await eventsOf(await simulator.ask(asked));
  expect(events).toHaveLength(1 + 1 + 3 + 1 + 1);
  await using plain = await startSimulator();
  expect(textOf(events)).toBe(textOf(await eventsOf(await plain.ask(asked))));
});

test('--sim-merge-every 5: every fifth token is sent in one event with the next, the text stays the same', async () => {
  await using simulator = await startSimulator(['--sim-merge-every', '5']);
  const asked = { stream: true, max_tokens: 24, ignore_eos: true };
  const events = await eventsOf(await simulator.ask(asked));
  // The role, 24 tokens, four of them in one event with the next, `[DONE]`.
  expect(events).toHaveLength(1 + 20 + 1);
  await using plain = await startSimulator();
  expect(textOf(events)).toBe(textOf(await eventsOf(await plain.ask(asked))));
});

test.each([
  [{ seed: 2 ** 63 }, 'less than or equal to 9223372036854775807'],
  [{ structured_outputs: { regex: '((' } }, 'Failed to transform regex into a grammar'],
])('%j is refused in vLLM’s words', async (fields, sentence) => {
  await using simulator = await startSimulator();
  const res = await simulator.ask(fields);
  expect(res.status).toBe(400);
  expect(await res.text()).toContain(sentence);
});

test('a prompt longer than one engine step counts as several', async () => {
  await using simulator = await startSimulator(['--max-num-batched-tokens', '1024']);
  await simulator
    .ask({ messages: [{ role: 'user', content: 'word '.repeat(3000) }], max_tokens: 1 })
    .then((res) => res.text());
  expect(await simulator.metric('vllm:iteration_tokens_total_count')).toBe(3);
});

test('with a profile, tokens are slower the more streams run', async () => {
  await using simulator = await startSimulator(['--sim-profile', 'h100']);
  const seconds = async (streams: number): Promise<number> => {
    const begun = performance.now();
    const asked = Array.from({ length: streams }, () =>
      simulator.ask({ stream: true, max_tokens: 20, ignore_eos: true }).then(eventsOf),
    );
    await Promise.all(asked);
    return (performance.now() - begun) / 1000;
  };
  const alone = await seconds(1);
  expect(alone).toBeGreaterThan(0.019 + 19 * 0.0042 - 0.02);
  expect(await seconds(64)).toBeGreaterThan(2 * alone);
});

test('the simulator listens on a Unix socket as on a port', async () => {
  const path = join(tmpdir(), `penstock-simulator-${process.pid}.sock`);
  await using simulator = await startSimulator(['--uds', path], { isReady: false });
  await eventually('ready', () => simulator.output().includes('Application startup complete'));
  const socket = connect(path);
  socket.end('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  expect(String(bytes)).toContain('200 OK');
  await rm(path);
});
