import { readJsonBody } from '../http/body.ts';
import type { Exchange } from '../http/exchange.ts';
import { ResponsesAnswer } from './answer.ts';
import { prepareResponses } from './request.ts';
import type { Simulator } from '../simulator.ts';

/** `POST /v1/responses`. */
export async function handleResponses(exchange: Exchange, { engine, model, faults }: Simulator): Promise<void> {
  const raw = await readJsonBody(exchange.req);
  const request = await prepareResponses(raw, exchange.header('x-vllm-priority'), engine, exchange.gone);
  if (exchange.gone.aborted) return;
  const { id, prompt, maxTokens, priority, sequences, refusal, isStream } = request.chat;
  const out = isStream ? exchange.stream(faults.onEvent()) : undefined;
  const answer = new ResponsesAnswer(request, model, out);
  if (refusal !== undefined) {
    if (!answer.breakOff()) throw refusal;
    return;
  }
  const drop = engine.start({
    id,
    prompt,
    maxTokens,
    priority,
    sequences,
    onStep: (_choice, step, task) => {
      const body = answer.take(step, task.sequence.produced);
      if (body !== undefined && !isStream) exchange.json(200, body);
    },
    onFailure: (error) => {
      if (!answer.breakOff()) exchange.error(error);
    },
  });
  exchange.gone.addEventListener('abort', drop, { once: true });
}
