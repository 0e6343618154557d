import { expect, test } from '@jest/globals';
import { Router, type RequestHandler } from 'express';
import { loadConfig } from '../../../gateway/config.ts';
import { authenticate, presentedKeys, requireKeys } from '../../../gateway/http/auth.ts';
import { parseKeyFile } from '../../../gateway/keys/key-file.ts';
import { hashOfKey, KeyRing } from '../../../gateway/keys/key-ring.ts';

test.each([
  [{}, []],
  [{ authorization: 'Bearer k1' }, ['k1']],
  [{ authorization: 'bearer   k1 ' }, ['k1']],
  [{ authorization: 'k1' }, ['k1']],
  [{ authorization: 'Bearer' }, []],
  [{ authorization: 'Basic dXNlcjpr' }, ['Basic dXNlcjpr']],
  [{ 'api-key': 'k1' }, ['k1']],
  [{ 'api-key': '' }, []],
  [{ authorization: 'Bearer k1', 'api-key': 'k1' }, ['k1']],
  [{ authorization: 'Bearer k1', 'api-key': 'k2' }, ['k1', 'k2']],
])('the keys of the headers %j are %j', (headers, keys) => {
  expect(presentedKeys(headers)).toEqual(keys);
});

const config = (host: string, keys = ''): unknown =>
  loadConfig({ GATEWAY_REDIS_URL: 'redis://127.0.0.1', GATEWAY_HOST: host, GATEWAY_KEYS_FILE: keys });

test('without keys only this machine may connect', () => {
  for (const host of ['', '127.0.0.1', '127.1.2.3', '::1', 'localhost']) expect(() => config(host)).not.toThrow();
  for (const host of ['0.0.0.0', '::', '10.0.0.4', 'localhost.example.org'])
    expect(() => config(host)).toThrow(
      'GATEWAY_HOST: an address that others can reach needs keys: name a key file in GATEWAY_KEYS_FILE, or providers in GATEWAY_IDENTITY_FILE',
    );
});

test('with keys any address may connect', () => {
  expect(config('0.0.0.0', 'keys.yaml')).toMatchObject({ GATEWAY_HOST: '0.0.0.0', GATEWAY_KEYS_FILE: 'keys.yaml' });
});

const context: RequestHandler = (_req, _res, next) => next();
const answer: RequestHandler = (_req, res) => {
  res.end();
};

test('a gateway with a route that requires no key does not start; only the listed paths need none', () => {
  const guard = authenticate(undefined);
  const router = Router();
  router.route('/').get(answer);
  router.route('/v1/chat').all([context, guard]).post(answer);
  expect(requireKeys(router, ['/'], guard)).toBe(router);
  expect(() => requireKeys(router, [], guard)).toThrow('/ requires no key');
  router.route('/v1/secret').all(context).get(answer).all(guard);
  expect(() => requireKeys(router, ['/'], guard)).toThrow('/v1/secret requires no key');
});

test('N17: a path with endless slashes costs no time with scoped keys', () => {
  const secret = 'secret';
  const ring = new KeyRing(
    parseKeyFile(
      `keys:\n  - id: one\n    primary: ${hashOfKey(secret).toString('hex')}\n    routes: [/v1/chat/completions/]\n`,
    ),
  );
  const caller = ring.find([secret]);
  const slashes = '/'.repeat(300_000);
  const startedAt = performance.now();
  for (const path of [`${slashes}x`, `/v1/chat/completions${slashes}x`, slashes]) caller?.mayCall(path);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(caller?.mayCall(`/v1/chat/completions${slashes}`)).toBe(true);
  expect(caller?.mayCall(`${slashes}x`)).toBe(false);
});
