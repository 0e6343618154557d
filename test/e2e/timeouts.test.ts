import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { either, lasts } from '../support/full-length.ts';
import {
  chunk,
  DONE,
  EVENT_STREAM,
  startScriptedStack,
  wholeAnswer,
  type ScriptedStack,
} from '../support/scripted-stack.ts';

/** The default timeouts, or a hundredth. */
const scaled = (ms: number): number => either(ms, ms / 100);
/** Long after an answer in time, also on a busy machine. */
const SCORE_MS = either(180_000, 5_000);

let scripted: ScriptedStack;
beforeAll(async () => {
  scripted = await startScriptedStack({
    gatewayEnv: {
      GATEWAY_REQUEST_TIMEOUT_MS: String(scaled(600_000)),
      GATEWAY_SCORE_TIMEOUT_MS: String(SCORE_MS),
      GATEWAY_IDLE_TIMEOUT_MS: String(scaled(400_000)),
      GATEWAY_BODY_TIMEOUT_MS: String(either(400_000, 60_000)),
    },
  });
  // The request sets the delay of its answer, in milliseconds.
  scripted.script = async (res, { text, isStream }) => {
    if (isStream) res.writeHead(200, EVENT_STREAM).write(chunk('a'));
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    await lasts(Number(text), gone.signal);
    res.end(isStream ? chunk('b', 'stop') + DONE : wholeAnswer('late'));
  };
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

const chat = (afterMs: number, stream: boolean) => ({
  messages: [{ role: 'user', content: String(afterMs) }],
  stream,
});
const score = (afterMs: number) => ({
  input_data: { input_string: [{ role: 'user', content: String(afterMs) }] },
});

/** Sends its body in pieces over this time. @returns the answer */
function dripBody(path: string, body: object, overMs: number): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const sent = request(scripted.stack.url + path, { method: 'POST', agent: false, headers }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (piece: string) => (text += piece));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, text }));
    });
    sent.on('error', reject);
    const bytes = JSON.stringify(body);
    sent.write(bytes.slice(0, 10));
    void lasts(overMs).then(() => sent.end(bytes.slice(10)));
  });
}

// Together, because each takes minutes at full length.
test(
  'answers that take longer than the usual timeout of five minutes arrive, up to the deadline',
  async () => {
    const { url } = scripted.stack;
    const [plain, late, stream, scored, lateScore, dripped] = await Promise.all([
      call(`${url}/v1/chat/completions`, chat(scaled(330_000), false)).ended,
      call(`${url}/v1/chat/completions`, chat(scaled(900_000), false)).ended,
      call(`${url}/v1/chat/completions`, chat(scaled(310_000), true)).ended,
      call(`${url}/score`, score(either(170_000, 1_200))).ended,
      call(`${url}/score`, score(either(190_000, 8_000))).ended,
      dripBody('/v1/chat/completions', chat(0, false), scaled(310_000)),
    ]);
    expect(plain).toMatchObject({ status: 200, body: wholeAnswer('late') });
    expect(plain.tookMs).toBeGreaterThanOrEqual(scaled(330_000));
    expect(stream).toMatchObject({ status: 200, isWhole: true });
    expect(stream.body.startsWith(chunk('a'))).toBe(true);
    expect(stream.body.endsWith(chunk('b', 'stop') + DONE)).toBe(true);
    expect(scored).toMatchObject({ status: 200, body: JSON.stringify({ output: 'late' }) });
    expect(dripped).toEqual({ status: 200, text: wholeAnswer('late') });
    // A request that the deadline ends gets one error, and is not retried.
    expect(late.status).toBe(504);
    expect(late.tookMs).toBeLessThan(scaled(600_000) + 5_000);
    expect(lateScore.status).toBe(408);
    expect(lateScore.tookMs).toBeLessThan(SCORE_MS + 5_000);
    expect(scripted.engine.requests).toHaveLength(6);
    await eventually(
      'the engine saw the end of both',
      () => scripted.engine.requests.filter(({ abortedAt }) => abortedAt !== undefined).length === 2,
    );
  },
  scaled(600_000) + 60_000,
);
