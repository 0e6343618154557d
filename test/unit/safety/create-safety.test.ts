import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { loadConfig } from '../../../gateway/config.ts';
import type { ContentSafety } from '../../../gateway/safety/content-safety.ts';
import { createSafety } from '../../../gateway/safety/create-safety.ts';
import { silentLog } from '../../support/silent-log.ts';

const REDIS = { GATEWAY_REDIS_URL: 'redis://127.0.0.1' };
const watch = { clock: () => performance.now(), log: silentLog, onCheck: () => {}, onUnchecked: () => {} };
const make = async (env: Record<string, string>): Promise<ContentSafety | undefined> =>
  createSafety(loadConfig({ ...REDIS, ...env }), watch);
const AZURE = { GATEWAY_SAFETY_PROVIDER: 'azure', GATEWAY_SAFETY_URL: 'https://a.cognitiveservices.azure.com' };
const WEBHOOK = { GATEWAY_SAFETY_PROVIDER: 'webhook', GATEWAY_SAFETY_URL: 'https://filter.example.com/check' };
const SECRET = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-safety-'));
  writeFileSync(join(folder, 'key'), 'hunter2\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

test('it is off unless a provider is named', async () => {
  expect(await make({})).toBeUndefined();
});

test.each([
  ['a URL alone', { GATEWAY_SAFETY_URL: 'https://a.example' }, 'GATEWAY_SAFETY_URL: needs GATEWAY_SAFETY_PROVIDER'],
  ['no URL', { GATEWAY_SAFETY_PROVIDER: 'webhook' }, 'GATEWAY_SAFETY_URL: missing'],
  ['Azure without a key', AZURE, 'GATEWAY_SAFETY_KEY: missing'],
  [
    'a missing file',
    { ...AZURE, GATEWAY_SAFETY_TOKEN_FILE: '/nowhere' },
    'GATEWAY_SAFETY_TOKEN_FILE: /nowhere cannot be read',
  ],
  [
    'key and token',
    { ...AZURE, GATEWAY_SAFETY_KEY: 'hunter2', GATEWAY_SAFETY_TOKEN_FILE: '/nowhere' },
    'a key is given too',
  ],
  ['two keys', { ...AZURE, GATEWAY_SAFETY_KEY: 'hunter2', GATEWAY_SAFETY_KEY_FILE: '/nowhere' }, '_FILE gives one too'],
  ['a secret of another kind', { ...WEBHOOK, GATEWAY_SAFETY_KEY: 'hunter2' }, 'whsec_'],
  ['a token for a webhook', { ...WEBHOOK, GATEWAY_SAFETY_TOKEN_FILE: '/nowhere' }, 'only Azure takes a token'],
  ['severities for a webhook', { ...WEBHOOK, GATEWAY_SAFETY_SEVERITIES: 'hate=4' }, 'only for Azure'],
  [
    'a severity that does not exist',
    { ...AZURE, GATEWAY_SAFETY_SEVERITIES: 'hate=8' },
    'each must be CATEGORY=SEVERITY',
  ],
  [
    'a category that does not exist',
    { ...AZURE, GATEWAY_SAFETY_SEVERITIES: 'hatee=0' },
    'each must be CATEGORY=SEVERITY: hate, self_harm, sexual or violence',
  ],
  [
    'an empty key file',
    { ...AZURE, GATEWAY_SAFETY_KEY_FILE: '/dev/null' },
    'GATEWAY_SAFETY_KEY_FILE: /dev/null is empty',
  ],
  [
    'an empty token',
    { ...AZURE, GATEWAY_SAFETY_TOKEN_FILE: '/dev/null' },
    'GATEWAY_SAFETY_TOKEN_FILE: /dev/null is empty',
  ],
  [
    'a password in the URL',
    { ...WEBHOOK, GATEWAY_SAFETY_URL: 'https://user:hunter2@filter.example.com/' },
    'GATEWAY_SAFETY_URL: takes no user and no password',
  ],
  ['nothing to judge', { ...AZURE, GATEWAY_SAFETY_CHECKS: ',' }, 'takes prompt, answer, or both'],
])('a bad configuration is refused with its setting, and no secret: %s', async (_what, env, sentence) => {
  const refused = await make(env).catch((cause: unknown) => String(cause));
  expect(refused).toContain(sentence);
  expect(refused).not.toContain('hunter2');
});

test.each([
  ['a key', { ...AZURE, GATEWAY_SAFETY_KEY: 'k' }, 'azure'],
  ['a file', { ...AZURE, GATEWAY_SAFETY_KEY_FILE: 'key' }, 'azure'],
  ['a webhook without a signature', WEBHOOK, 'webhook'],
  ['a webhook with one', { ...WEBHOOK, GATEWAY_SAFETY_KEY: SECRET }, 'webhook'],
])('what is complete is taken: %s', async (_what, env, provider) => {
  const file = 'GATEWAY_SAFETY_KEY_FILE' in env ? { GATEWAY_SAFETY_KEY_FILE: join(folder, 'key') } : {};
  const safety = await make({ ...env, ...file });
  expect(safety?.status).toEqual({ provider, onFailure: 'closed', failures: 0, lastFailure: null });
  expect([safety?.checks('prompt'), safety?.checks('answer')]).toEqual([true, true]);
});

test.each([
  ['a private address', 'https://127.0.0.1/check', 'allowed'],
  ['a link-local address', 'https://169.254.169.254/check', 'allowed'],
  ['plain http to a public one', 'http://203.0.113.7/check', 'allowed|https'],
])('the address guard holds for the service too: %s', async (_what, url) => {
  const safety = await make({ ...WEBHOOK, GATEWAY_SAFETY_URL: url });
  const content = { direction: 'prompt', model: 'm', texts: ['hello'], pictures: [] } as const;
  await expect(safety?.check(content, 'k', new AbortController().signal)).rejects.toMatchObject({
    code: 'safety_unavailable',
  });
  expect(safety?.status.lastFailure?.reason).toBe('unreachable');
});
