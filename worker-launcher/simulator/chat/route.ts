import { GatheredAnswer } from '../generate/gathered-answer.ts';
import { generate } from '../generate/generate.ts';
import { readJsonBody } from '../http/body.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Simulator } from '../simulator.ts';
import { chatBody } from './answer.ts';
import { prepareChat } from './request.ts';
import { ChatStream } from './stream.ts';

/** `POST /v1/chat/completions` and `/invocations`. */
export async function handleChat(exchange: Exchange, simulator: Simulator): Promise<void> {
  const { engine, model } = simulator;
  const raw = await readJsonBody(exchange.req);
  const headers = { requestId: exchange.header('x-request-id'), priority: exchange.header('x-vllm-priority') };
  const request = await prepareChat(raw, headers, engine, exchange.gone);
  generate(exchange, simulator, request, {
    events: (out) => {
      out.keepAliveEvery(engine.settings.keepAliveSeconds * 1000);
      return new ChatStream(out, request, model);
    },
    body: () => {
      const openings = request.sequences.map(() => request.echo);
      return new GatheredAnswer(openings, (...answer) => chatBody(request, model, ...answer));
    },
  });
}
