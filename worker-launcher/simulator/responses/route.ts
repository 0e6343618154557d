import { generate } from '../generate/generate.ts';
import { readJsonBody } from '../http/body.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Simulator } from '../simulator.ts';
import { ResponsesAnswer } from './answer.ts';
import { prepareResponses } from './request.ts';

/** `POST /v1/responses`. */
export async function handleResponses(exchange: Exchange, simulator: Simulator): Promise<void> {
  const { engine, model } = simulator;
  const raw = await readJsonBody(exchange.req);
  const request = await prepareResponses(raw, exchange.header('x-vllm-priority'), engine, exchange.gone);
  generate(
    exchange,
    simulator,
    { ...request.chat, id: request.id },
    {
      events: (out) => new ResponsesAnswer(request, model, out),
      body: () => new ResponsesAnswer(request, model),
    },
  );
}
