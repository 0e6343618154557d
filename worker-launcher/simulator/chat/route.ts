import { ChatAnswer } from './answer.ts';
import { prepareChat } from './request.ts';
import { ChatStream } from './stream.ts';
import { readJsonBody } from '../http/body.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Simulator } from '../simulator.ts';

/** `POST /v1/chat/completions` and `/invocations`. */
export async function handleChat(exchange: Exchange, { engine, model, faults }: Simulator): Promise<void> {
  const raw = await readJsonBody(exchange.req);
  const headers = { requestId: exchange.header('x-request-id'), priority: exchange.header('x-vllm-priority') };
  const request = await prepareChat(raw, headers, engine, exchange.gone);
  if (exchange.gone.aborted) return;
  const { id, prompt, maxTokens, priority, sequences, refusal } = request;
  if (refusal !== undefined) {
    if (!request.isStream) throw refusal;
    new ChatStream(exchange.stream(), request, model).fail(refusal);
    return;
  }
  const parts = { id, prompt, maxTokens, priority, sequences };
  let drop: () => void;
  if (request.isStream) {
    const out = exchange.stream(faults.onEvent());
    out.keepAliveEvery(engine.settings.keepAliveSeconds * 1000);
    const stream = new ChatStream(out, request, model);
    drop = engine.start({
      ...parts,
      onStep: (choice, step, task) => stream.take(choice, step, task),
      onFailure: (error) => stream.fail(error),
    });
  } else {
    const answer = new ChatAnswer(request, model);
    drop = engine.start({
      ...parts,
      onStep: (choice, step, task) => {
        const body = answer.take(choice, step, task);
        if (body !== undefined) exchange.json(200, body);
      },
      onFailure: (error) => exchange.error(error),
    });
  }
  exchange.gone.addEventListener('abort', drop, { once: true });
}
