import type { Handler } from './handler.ts';

/** Routes that exist only with VLLM_SERVER_DEV_MODE=1. While the engine sleeps, requests wait without an answer. */
export const DEV_ROUTES: readonly (readonly [path: string, handlers: Readonly<Record<string, Handler>>])[] = [
  ['/is_sleeping', { GET: (exchange, { engine }) => exchange.json(200, { is_sleeping: engine.sleepLevel > 0 }) }],
  [
    '/sleep',
    {
      POST: (exchange, { engine }) => {
        const level = Number(exchange.query.get('level') ?? 1) || 1;
        engine.sleep(level);
        exchange.json(200, { status: 'sleeping', level });
      },
    },
  ],
  [
    '/wake_up',
    {
      POST: (exchange, { engine }) => {
        engine.wakeUp();
        const tags = exchange.query.getAll('tags');
        exchange.json(200, { status: 'awake', tags: tags.length === 0 ? null : tags });
      },
    },
  ],
  [
    '/reset_prefix_cache',
    {
      POST: (exchange, { engine }) => {
        engine.prefixes.clear();
        exchange.json(200, { success: true });
      },
    },
  ],
  [
    '/reset_mm_cache',
    {
      POST: (exchange, { engine }) => {
        engine.pictures.clear();
        exchange.text(200, null, '');
      },
    },
  ],
  ['/server_info', { GET: (exchange, { settings }) => exchange.json(200, { vllm_config: settings.given }) }],
];
