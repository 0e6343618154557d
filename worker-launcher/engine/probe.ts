import type { Pool } from 'undici';
import { connectTo, type EngineAddress } from './address.ts';
import type { EngineEvent } from './state.ts';

/** `event` is absent if the answer proves nothing about the engine. */
export interface ProbeResult {
  readonly event?: EngineEvent;
  readonly problem?: string;
  /** duration of a successful generation, in milliseconds */
  readonly tookMs?: number;
}

export interface ProbeTimes {
  readonly healthMs: number;
  readonly canaryMs: number;
}

/** Enough to measure the pace, too few to cost anything. */
export const CANARY_TOKENS = 4;

/** Probes one engine process over its own connections. */
export class EngineProbe {
  readonly #pool: Pool;
  readonly #model: string;
  readonly #times: ProbeTimes;
  /** duration of the fastest short generation so far, in milliseconds; Infinity before the first */
  bestMs = Infinity;

  constructor(address: EngineAddress, model: string, times: ProbeTimes) {
    this.#pool = connectTo(address, { connections: 4, keepAliveTimeout: 4_000 });
    this.#model = model;
    this.#times = times;
  }

  /** `GET /health`. Source: vLLM, which refuses connections until ready and answers 503 once its engine core has died. */
  async health(withinMs = this.#times.healthMs): Promise<ProbeResult> {
    const answer = await this.#ask('GET', '/health', undefined, withinMs);
    return answer.status === 200 ? { event: 'healthy' } : { event: 'unhealthy', problem: `/health: ${answer.problem}` };
  }

  /**
   * A real generation of a few tokens, always the same, because `/health` stays 200 while the engine core hangs. It is a
   * stream, because an engine may fail in a stream after a 200.
   */
  async canary(withinMs = this.#times.canaryMs): Promise<ProbeResult> {
    const body = JSON.stringify({
      model: this.#model,
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: CANARY_TOKENS,
      ignore_eos: true,
      temperature: 0,
      stream: true,
    });
    const askedAt = performance.now();
    const answer = await this.#ask('POST', '/v1/chat/completions', body, withinMs);
    if (answer.status === 200 && !answer.text.includes('data: {"error"')) {
      const tookMs = performance.now() - askedAt;
      this.bestMs = Math.min(this.bestMs, tookMs);
      return { event: 'canary_ok', tookMs };
    }
    const problem = `short generation: ${answer.problem}`;
    // A full queue is not a failure: a saturated engine works.
    return answer.status === 503 ? { problem } : { event: 'canary_failed', problem };
  }

  /** @returns the page of `GET /metrics`; undefined if it did not arrive, which proves nothing */
  async metrics(): Promise<string | undefined> {
    const answer = await this.#ask('GET', '/metrics', undefined, this.#times.healthMs);
    return answer.status === 200 ? answer.text : undefined;
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #ask(
    method: 'GET' | 'POST',
    path: string,
    body: string | undefined,
    withinMs: number,
  ): Promise<{ status: number; text: string; problem: string }> {
    try {
      // `AbortSignal.timeout` throws for a fraction of a millisecond.
      const signal = AbortSignal.timeout(Math.ceil(withinMs));
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const answer = await this.#pool.request({ method, path, headers, body: body ?? null, signal });
      const text = await answer.body.text();
      return { status: answer.statusCode, text, problem: `status ${answer.statusCode} ${text.slice(0, 300)}` };
    } catch (cause) {
      return { status: 0, text: '', problem: reasonOf(cause, withinMs) };
    }
  }
}

function reasonOf(cause: unknown, withinMs: number): string {
  if (typeof cause !== 'object' || cause === null) return String(cause);
  if ('name' in cause && cause.name === 'TimeoutError') return `no answer within ${withinMs} ms`;
  return 'message' in cause && cause.message !== '' ? String(cause.message) : 'connection failed';
}
