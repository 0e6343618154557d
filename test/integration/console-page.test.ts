import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import express from 'express';
import { Registry } from 'prom-client';
import { readConsolePage, wrongPathPage } from '../../gateway/http/console/page.ts';
import { errorMiddleware } from '../../gateway/http/error-middleware.ts';
import { root } from '../../gateway/http/health.ts';
import { Failure } from '../../gateway/failure.ts';
import { createMetrics } from '../../gateway/metrics.ts';
import { DIALECTS } from '../support/api-document.ts';
import { NO_SOURCES } from '../support/no-sources.ts';
import { silentLog } from '../support/silent-log.ts';
import { temporaryFolder } from '../support/start-process.ts';

/** What Chrome and Firefox send when an address is opened. */
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const folder = temporaryFolder();
let server: Server;
let url = '';
beforeAll(async () => {
  mkdirSync(join(folder.path, 'assets'));
  writeFileSync(join(folder.path, 'index.html'), '<!doctype html><title>console</title>');
  writeFileSync(join(folder.path, 'assets', 'page-1a2b.js'), 'export {};');
  const page = readConsolePage(folder.path);
  const departure = { turnAway: () => {} };
  const metrics = createMetrics(new Registry(), NO_SOURCES);
  const app = express();
  app.get('/', root({ departure }, page));
  app.get('/unbuilt', root({ departure }, readConsolePage(join(folder.path, 'assets'))));
  if (page !== undefined) app.get('/console/assets/:file', page.serveAsset);
  app.get('/v1/models', () => {
    throw new Failure('unauthorized', 'this request has no key');
  });
  app.use((req) => {
    throw new Failure('route_not_found', `there is no ${req.path} here`);
  });
  app.use(errorMiddleware(DIALECTS.openai, metrics, silentLog, wrongPathPage));
  server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  folder[Symbol.dispose]();
});

const ask = (path: string, accept?: string, method = 'GET') =>
  fetch(url + path, { method, headers: accept === undefined ? {} : { accept } });

test('a browser gets the console on /, with a strict policy; Azure’s probe and programs get "healthy"', async () => {
  const page = await ask('/', BROWSER);
  expect([page.status, await page.text()]).toEqual([200, '<!doctype html><title>console</title>']);
  const { headers } = page;
  expect(headers.get('content-security-policy')).toBe(POLICY);
  expect(['x-frame-options', 'referrer-policy', 'cache-control', 'vary'].map((name) => headers.get(name))).toEqual([
    'DENY',
    'no-referrer',
    'no-cache',
    'accept',
  ]);
  const head = await ask('/', BROWSER, 'HEAD');
  expect([head.headers.get('content-security-policy'), await head.text()]).toEqual([POLICY, '']);
  for (const accept of [undefined, '*/*', 'application/json', 'application/json, text/html;q=0.9', 'text/plain']) {
    const probe = await ask('/', accept);
    expect([accept, probe.status, await probe.json(), probe.headers.get('vary')]).toEqual([
      accept,
      200,
      'healthy',
      'accept',
    ]);
  }
  expect(await (await ask('/unbuilt', BROWSER)).json()).toBe('healthy');
});

test('only the files of the build are served, and a browser keeps them', async () => {
  const file = await ask('/console/assets/page-1a2b.js');
  expect([file.status, await file.text()]).toEqual([200, 'export {};']);
  expect(file.headers.get('content-type')).toMatch(/^text\/javascript/);
  expect(file.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  for (const path of ['..%2findex.html', '..%2f..%2fpackage.json', '%2e%2e', 'page.js', '.', 'page-1a2b.js%00'])
    expect([path, (await ask(`/console/assets/${path}`)).status]).toEqual([path, 404]);
});

test('a wrong path in a browser gets a page with links, with the same status; other clients get the error', async () => {
  for (const [path, status, code] of [
    ['/nope', 404, 'route_not_found'],
    ['/v1/models', 401, 'unauthorized'],
  ] as const) {
    const page = await ask(path, BROWSER);
    const html = await page.text();
    expect([page.status, page.headers.get('content-security-policy')]).toEqual([status, POLICY]);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect([html.includes('href="/"'), html.includes('href="/docs"'), html.includes(path)]).toEqual([
      true,
      true,
      false,
    ]);
    const program = await ask(path, '*/*');
    expect([program.status, await program.json()]).toMatchObject([status, { error: { code } }]);
  }
  const post = await ask('/nope', BROWSER, 'POST');
  expect(await post.json()).toMatchObject({ error: { code: 'route_not_found' } });
});
