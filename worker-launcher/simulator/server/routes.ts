import { handleChat } from '../chat/route.ts';
import { changeFaults, clearFaults, showFaults } from './fault-routes.ts';
import { handleCompletions } from '../completions/route.ts';
import { DEV_ROUTES } from './dev-routes.ts';
import type { Handler } from './handler.ts';
import { modelList } from '../generate/served-model.ts';
import { handleResponses } from '../responses/route.ts';
import type { Simulator } from '../simulator.ts';
import { handleDetokenize, handleTokenize } from '../chat/tokenize.ts';

export type RouteTable = ReadonlyMap<string, Readonly<Record<string, Handler>>>;

const METRICS_TYPE = 'text/plain; version=1.0.0; charset=utf-8';

/** Every path and method that the simulator serves; all others are answered 404 or 405. */
export function createRoutes({ settings }: Simulator): RouteTable {
  const health: Handler = (exchange, { engine }) => exchange.text(engine.isDead ? 503 : 200, null, '');
  return new Map<string, Readonly<Record<string, Handler>>>([
    ['/health', { GET: health }],
    ['/ping', { GET: health, POST: health }],
    ['/version', { GET: (exchange) => exchange.json(200, { version: `${settings.version}.0` }) }],
    ['/metrics', { GET: (exchange, { page }) => exchange.text(200, METRICS_TYPE, page.render()) }],
    ['/v1/models', { GET: (exchange, { model }) => exchange.json(200, modelList(model)) }],
    [
      '/load',
      { GET: (exchange, { load }) => exchange.json(200, { server_load: settings.loadTracking ? load.count : 0 }) },
    ],
    ['/sim/faults', { GET: showFaults, POST: changeFaults, DELETE: clearFaults }],
    ['/v1/chat/completions', { POST: handleChat }],
    ['/v1/completions', { POST: handleCompletions }],
    ['/v1/responses', { POST: handleResponses }],
    ['/invocations', { POST: handleChat }],
    ['/tokenize', { POST: handleTokenize }],
    ['/detokenize', { POST: handleDetokenize }],
    ...(settings.devMode ? DEV_ROUTES : []),
  ]);
}
