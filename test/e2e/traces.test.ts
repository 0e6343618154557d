import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { post } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '#runtime/free-port';
import { startCollector, traceText, type CollectedSpan, type Collector } from '../support/otlp-collector.ts';
import { chunk, DONE, EVENT_STREAM, LAST, startScriptedStack, usageEvent } from '../support/scripted-stack.ts';
import type { ScriptedStack } from '../support/scripted-stack.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
/** In prompts and answers of all tests: no export may hold it. */
const CANARY = 'kanarienvogel';
const SECRET = 'authorization=Bearer%20collector-secret';
const CALLERS = { trace: '4bf92f3577b34da6a3ce929d0e0e4736', span: '00f067aa0ba902b7' };
const TRACEPARENT = `00-${CALLERS.trace}-${CALLERS.span}-01`;

const traced = ({ url }: Pick<Collector, 'url'>) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_HEADERS: SECRET,
  OTEL_BSP_SCHEDULE_DELAY: '50',
});
const question = (more: object = {}) => ({
  model: MODEL,
  messages: [{ role: 'user', content: `Tell me of the ${CANARY}.` }],
  max_tokens: 40,
  temperature: 0.5,
  stream: true,
  ...more,
});

function ask(
  url: string,
  body: object,
  headers: Record<string, string> = {},
  signal: AbortSignal | null = null,
): Promise<Response> {
  const given = { 'content-type': 'application/json', ...headers };
  return fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: given, body: JSON.stringify(body), signal });
}

/** The spans of a trace, once there are so many of them. */
function spansOf({ spans }: Collector, trace: string, count: number): Promise<readonly CollectedSpan[]> {
  const found = (): CollectedSpan[] => spans.filter(({ traceId }) => traceId === trace);
  return eventually(`${count} spans of ${trace}`, () => found().length >= count && found(), 15_000);
}
const only = (spans: readonly CollectedSpan[], name: string): CollectedSpan => {
  const [one, more] = spans.filter((span) => span.name === name);
  if (one === undefined || more !== undefined) throw new Error(`not one span ${name}:\n${traceText(spans)}`);
  return one;
};

const byEpoch = (spans: readonly CollectedSpan[], name: string): readonly CollectedSpan[] => {
  const epochOf = ({ attributes }: CollectedSpan): number => Number(attributes['penstock.epoch']);
  return spans.filter((span) => span.name === name).toSorted((a, b) => epochOf(a) - epochOf(b));
};

let collector: Collector;
let scripted: ScriptedStack;
beforeAll(async () => {
  collector = await startCollector();
  scripted = await startScriptedStack({ gatewayEnv: traced(collector), dispatcherEnv: traced(collector) });
  scripted.script = (res) => {
    res.writeHead(200, EVENT_STREAM);
    res.end(chunk(`A ${CANARY} sings`) + LAST + usageEvent(7, 5) + DONE);
  };
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
});

test('a streamed request is one trace, below its caller’s span, and its engine gets the context', async () => {
  const { stack, engine } = scripted;
  const headers = { traceparent: TRACEPARENT, tracestate: 'vendor=value' };
  const answer = await (await ask(stack.url, question(), headers)).text();
  expect(answer).toContain(CANARY);
  const spans = await spansOf(collector, CALLERS.trace, 4);
  process.stdout.write(`${traceText(spans)}\n`);
  const [server, queue, dispatch, call] = [
    only(spans, 'POST /v1/chat/completions'),
    only(spans, 'queue wait'),
    only(spans, 'dispatch'),
    only(spans, `chat ${MODEL}`),
  ];
  expect(spans).toHaveLength(4);
  expect([server.kind, queue.kind, dispatch.kind, call.kind]).toEqual(['SERVER', 'INTERNAL', 'CONSUMER', 'CLIENT']);
  expect([server.parentId, queue.parentId, dispatch.parentId, call.parentId]).toEqual([
    CALLERS.span,
    server.spanId,
    queue.spanId,
    dispatch.spanId,
  ]);
  expect(server.service).toBe('penstock-gateway');
  expect(call.service).toBe('penstock-dispatcher');
  expect(server.attributes).toMatchObject({
    'http.request.method': 'POST',
    'http.route': '/v1/chat/completions',
    'http.response.status_code': 200,
    'gen_ai.request.model': MODEL,
  });
  expect(call.attributes).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'vllm',
    'gen_ai.request.model': MODEL,
    'gen_ai.response.model': MODEL,
    'gen_ai.request.max_tokens': 40,
    'gen_ai.request.temperature': 0.5,
    'gen_ai.usage.input_tokens': 7,
    'gen_ai.usage.output_tokens': 5,
    'gen_ai.response.finish_reasons': ['stop'],
    'server.address': '127.0.0.1',
    'server.port': engine.port,
  });
  expect(server.events).toEqual(['claimed', 'first byte']);
  expect(spans.filter(({ isError, links }) => isError || links.length > 0)).toEqual([]);
  expect(spans.every(({ startNs, endNs }) => startNs > 0n && startNs <= endNs)).toBe(true);
  expect(server.startNs <= queue.startNs && call.endNs <= server.endNs + 50_000_000n).toBe(true);
  expect(engine.requests.at(-1)?.headers).toMatchObject({
    traceparent: `00-${CALLERS.trace}-${call.spanId}-01`,
    tracestate: 'vendor=value',
  });
});

test('an attempt after a lost one links to it', async () => {
  const { stack } = scripted;
  const answer = scripted.script;
  let calls = 0;
  scripted.script = (res, asked) => {
    calls += 1;
    // The dispatcher itself sends a request again that a kept connection lost.
    if (calls <= 2) res.destroy();
    else void answer(res, asked);
  };
  const trace = CALLERS.trace.replaceAll('4', '5');
  const traceparent = `00-${trace}-${CALLERS.span}-01`;
  expect(await (await ask(stack.url, question(), { traceparent })).text()).toContain('[DONE]');
  scripted.script = answer;
  const spans = await spansOf(collector, trace, 7);
  const [lost, further] = byEpoch(spans, 'dispatch');
  expect(lost?.attributes).toMatchObject({ 'penstock.epoch': 1, 'error.type': 'worker_lost' });
  expect(lost?.isError).toBe(true);
  expect(further?.links).toEqual([lost?.spanId]);
  expect(further?.isError).toBe(false);
  const again = spans.find(({ spanId }) => spanId === further?.parentId);
  expect([again?.name, again?.links]).toEqual(['queue wait', [lost?.spanId]]);
  expect(only(spans, 'POST /v1/chat/completions').attributes['penstock.repeats']).toBe(1);
});

test('a refused request has its failure, and a bad context of a caller begins a new trace', async () => {
  const before = new Set(collector.spans);
  const response = await ask(scripted.stack.url, question({ model: 'no-such-model' }), {
    traceparent: `${TRACEPARENT}-x`,
  });
  expect(response.status).toBe(404);
  await response.text();
  const isRefused = (span: CollectedSpan): boolean =>
    !before.has(span) && span.attributes['error.type'] === 'model_not_found';
  const refused = await eventually('the span of the refused request', () => collector.spans.find(isRefused));
  expect(refused).toMatchObject({ kind: 'SERVER', parentId: '', isError: false });
  expect(refused.traceId).not.toBe(CALLERS.trace);
  expect(refused.attributes['http.response.status_code']).toBe(404);
});

test('a caller may ask for no record, and its engine learns that', async () => {
  const { stack, engine } = scripted;
  const trace = CALLERS.trace.replaceAll('4', '6');
  await (await ask(stack.url, question(), { traceparent: `00-${trace}-${CALLERS.span}-00` })).text();
  await (
    await ask(stack.url, question(), { traceparent: `00-${trace.replaceAll('6', '7')}-${CALLERS.span}-01` })
  ).text();
  await spansOf(collector, trace.replaceAll('6', '7'), 4);
  expect(collector.spans.filter(({ traceId }) => traceId === trace)).toEqual([]);
  const told = engine.requests.map(({ headers }) => String(headers['traceparent']));
  expect(told.find((one) => one.includes(trace))).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
});

test('an answer that another gateway goes on with stays in its trace', async () => {
  const { stack, engine } = scripted;
  const answer = scripted.script;
  const owner = await stack.startGateway({});
  const held: ServerResponse[] = [];
  scripted.script = (res) => void held.push(res);
  const trace = CALLERS.trace.replaceAll('4', '9');
  const client = new AbortController();
  const headers = { traceparent: `00-${trace}-${CALLERS.span}-01`, 'idempotency-key': 'traced' };
  const before = engine.requests.length;
  const asking = ask(owner.url, question(), { ...headers, 'x-penstock-on-disconnect': 'continue' }, client.signal);
  asking.catch(() => {});
  await eventually('the engine has it', () => engine.requests.length > before);
  client.abort();
  const exited = once(owner.child, 'exit');
  owner.child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  let lost = 0;
  scripted.script = (res, asked) => {
    lost += 1;
    if (lost === 1) res.destroy();
    else void answer(res, asked);
  };
  for (const res of held) res.destroy();
  const spans = await spansOf(collector, trace, 7);
  scripted.script = answer;
  const [first, second] = byEpoch(spans, 'dispatch');
  expect([first?.attributes['error.type'], second?.links]).toEqual(['worker_lost', [first?.spanId]]);
  const [, again] = byEpoch(spans, 'queue wait');
  const server = only(spans, 'POST /v1/chat/completions');
  expect([again?.parentId, second?.parentId]).toEqual([server.spanId, again?.spanId]);
}, 30_000);

test('no export holds a word of a prompt or an answer, and its headers are sent', () => {
  const exported = collector.bytes().toString('latin1');
  expect(exported).toContain('penstock-gateway');
  expect(exported).not.toContain(CANARY);
  expect(exported).not.toContain('collector-secret');
  expect(collector.headers[0]?.['authorization']).toBe('Bearer collector-secret');
  expect(scripted.stack.gateways[0]?.output()).not.toContain('collector-secret');
});

test('an engine is killed in a stream: the trace shows where it went on', async () => {
  await using stack = await startStack({
    engines: 2,
    gatewayEnv: traced(collector),
    workerEnv: { ...traced(collector), PENSTOCK_SIM_ITL_MS: '50' },
  });
  const trace = CALLERS.trace.replaceAll('4', '8');
  const response = await ask(stack.url, question({ ignore_eos: true }), {
    traceparent: `00-${trace}-${CALLERS.span}-01`,
  });
  const reading = response.text();
  const pid = await eventually('an engine is busy', async () => {
    const { workers } = await stack.status();
    return workers.flatMap(({ engines }) => engines).find(({ inFlight }) => inFlight.text > 0)?.pid;
  });
  process.kill(pid, 'SIGKILL');
  expect(await reading).toContain('[DONE]');
  const isThere = (): boolean =>
    collector.spans.some(({ traceId, kind }) => traceId === trace && kind === 'SERVER') &&
    collector.spans.filter(({ traceId, name }) => traceId === trace && name === 'dispatch').length === 2;
  await eventually('both attempts are exported', isThere, 15_000);
  const spans = collector.spans.filter(({ traceId }) => traceId === trace);
  process.stdout.write(`${traceText(spans)}\n`);
  const [lost, further] = byEpoch(spans, 'dispatch');
  expect(lost?.attributes['error.type']).toBe('worker_lost');
  expect(further?.links).toEqual([lost?.spanId]);
}, 60_000);

test('without a recorder the caller’s context reaches the engine as it is', async () => {
  await using plain = await startScriptedStack();
  plain.script = scripted.script;
  const headers = { traceparent: TRACEPARENT, tracestate: 'vendor=value' };
  await (await ask(plain.stack.url, question(), headers)).text();
  expect(plain.engine.requests.at(-1)?.headers).toMatchObject(headers);
  await (await ask(plain.stack.url, question())).text();
  expect(plain.engine.requests.at(-1)?.headers).not.toHaveProperty('traceparent');
});

test('a dead collector delays no answer and no end of the gateway, and is told in the log', async () => {
  const place = { url: `http://127.0.0.1:${await freePort()}` };
  const more = { OTEL_EXPORTER_OTLP_TIMEOUT: '300' };
  await using stack = await startStack({ launchers: 0, gatewayEnv: { ...traced(place), ...more } });
  const [gateway] = stack.gateways;
  if (gateway === undefined) throw new Error('no gateway');
  for (let n = 0; n < 20; n += 1) {
    const refused = await post(`${stack.url}/v1/chat/completions`, {});
    expect(refused.status).toBe(400);
    await refused.text();
  }
  await eventually('the log tells it', () => gateway.output().includes('the collector took no spans'), 15_000);
  expect(gateway.output().split('the collector took no spans')).toHaveLength(2);
  const exited = once(gateway.child, 'exit');
  gateway.child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
}, 60_000);
