import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { Failure } from '../../gateway/failure.ts';
import { Departure } from '../../gateway/http/departure.ts';
import { errorMiddleware } from '../../gateway/http/error-middleware.ts';
import { requestContext, withContext } from '../../gateway/http/request-context.ts';
import { createMetrics } from '../../gateway/metrics.ts';
import { DIALECTS } from '../support/api-document.ts';
import { NO_SOURCES } from '../support/no-sources.ts';
import { noAudit, silentLog } from '../support/silent-log.ts';

test('F6: a bug of ours is a 500 in each API’s form and reveals nothing, also if rendering it fails', async () => {
  const metrics = createMetrics(new Registry(), NO_SOURCES);
  const app = express();
  const usage = { refused: () => {}, leftQueue: () => {} };
  const departure = new Departure(() => 0);
  const deps = { clock: () => 0, log: silentLog, audit: noAudit, metrics, usage, departure, begunAt: () => undefined };
  for (const [name, dialect] of Object.entries(DIALECTS))
    app.get(`/${name}`, withContext(dialect, deps), () => {
      throw new TypeError('secret is not a function');
    });
  const impossible = new Failure('engine_refused', 'secret', { status: 400.5 });
  for (const [name, dialect] of Object.entries(DIALECTS)) {
    app.get(`/${name}/status`, withContext(dialect, deps), () => {
      throw impossible;
    });
    app.get(`/${name}/settled`, withContext(dialect, deps), (_req, res) => {
      requestContext(res).beforeAnswer = () => Promise.resolve();
      throw impossible;
    });
  }
  app.use(errorMiddleware(DIALECTS.openai, metrics, silentLog));
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const all = Object.entries(DIALECTS).flatMap(([name, dialect]) =>
      // Azure's own endpoint writes its own status around that of a model.
      (name === 'score' ? [''] : ['', '/status', '/settled']).map((end) => [name + end, dialect] as const),
    );
    for (const [name, dialect] of all) {
      const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`);
      const text = await answer.text();
      expect([name, answer.status, text.includes('secret')]).toEqual([name, name === 'score' ? 424 : 500, false]);
      expect(JSON.parse(text)).toMatchObject({
        error: { code: 'internal', type: dialect.name === 'anthropic' ? 'api_error' : 'server_error' },
      });
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
