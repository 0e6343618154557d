import { readJsonBody } from '../http/body.ts';
import { badRequest } from '../http/errors.ts';
import type { Exchange } from '../http/exchange.ts';
import { readFaults } from '../command-line/fault-set.ts';
import type { Handler } from './handler.ts';

/** `POST /sim/faults`: switches faults on (`{"freeze-decode": true}`) and off (`null`); answers the active faults. */
export const changeFaults: Handler = local(async (exchange, { faults }) => {
  const body = await readJsonBody(exchange.req);
  let changes;
  try {
    changes = readFaults(body);
  } catch (error) {
    throw badRequest(error instanceof Error ? error.message : String(error));
  }
  faults.change(changes);
  exchange.json(200, faults.current);
});

/** `DELETE /sim/faults`: switches all faults off. */
export const clearFaults: Handler = local((exchange, { faults }) => {
  faults.clear();
  exchange.json(200, faults.current);
});

/** `GET /sim/faults`: the active faults. */
export const showFaults: Handler = local((exchange, { faults }) => exchange.json(200, faults.current));

/** For callers on this machine only; others get 404. */
function local(handler: Handler): Handler {
  return (exchange, simulator) => {
    if (isLocal(exchange)) return handler(exchange, simulator);
    return exchange.json(404, { detail: 'Not Found' });
  };
}

function isLocal(exchange: Exchange): boolean {
  const address = exchange.req.socket.remoteAddress;
  return address === undefined || address === '::1' || /^(::ffff:)?127\./.test(address);
}
