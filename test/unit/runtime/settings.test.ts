import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { readYamlFolder } from '#runtime/yaml-folder';
import { loadConfig } from '../../../gateway/config.ts';
import { loadConfig as loadWorkerConfig } from '../../../worker-launcher/config.ts';

function messageOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    return String(error);
  }
  return 'nothing was thrown';
}

const REDIS = { GATEWAY_REDIS_URL: 'redis://127.0.0.1:6379' };

test('defaults apply, and other variables are ignored', () => {
  expect(loadConfig({ ...REDIS, PATH: '/bin' })).toMatchObject({ GATEWAY_PORT: 8080, GATEWAY_MAX_CHOICES: 1 });
});

test('an unknown name is refused, with the name', () => {
  expect(() => loadConfig({ ...REDIS, GATEWAY_PROT: '1' })).toThrow('GATEWAY_PROT: unknown setting');
});

test.each(['a:1,', 'a:99999', 'a', ',a:1', 'a:0'])('addresses %j are refused by name', (nodes) => {
  expect(() => loadConfig({ ...REDIS, GATEWAY_REDIS_CLUSTER_NODES: nodes })).toThrow(
    'GATEWAY_REDIS_CLUSTER_NODES: takes addresses such as node-1:6379,node-2:6379',
  );
});

test('every bad value is named in one message', () => {
  expect(() => loadConfig({ GATEWAY_PORT: 'x', GATEWAY_MAX_TOKENS: 'maybe' })).toThrow(
    /GATEWAY_REDIS_URL[\s\S]*GATEWAY_PORT[\s\S]*GATEWAY_MAX_TOKENS/,
  );
});

test.each<[string, Record<string, string>, string]>([
  ['missing', {}, 'GATEWAY_REDIS_URL: missing; it takes a URL such as redis://127.0.0.1:6379/0'],
  ['a number', { ...REDIS, GATEWAY_PORT: 'x' }, "GATEWAY_PORT: takes a port from 1 to 65535, not 'x'"],
  ['its range', { ...REDIS, GATEWAY_PORT: '70000' }, "GATEWAY_PORT: takes a port from 1 to 65535, not '70000'"],
  ['a fraction', { ...REDIS, GATEWAY_QUEUE_LIMIT_JOBS: '1.5' }, "takes a whole number, 1 or more, not '1.5'"],
  ['a flag', { ...REDIS, GATEWAY_TOKENIZE: 'perhaps' }, "GATEWAY_TOKENIZE: takes true or false, not 'perhaps'"],
  ['a choice', { ...REDIS, GATEWAY_MAX_TOKENS: 'maybe' }, "takes one of refuse, clamp, not 'maybe'"],
  ['JSON', { ...REDIS, GATEWAY_POOLS: '{' }, 'GATEWAY_POOLS: takes JSON, and this is invalid JSON'],
  ['its shape', { ...REDIS, GATEWAY_POOLS: '[]' }, 'GATEWAY_POOLS: takes an object'],
  [
    'what is inside',
    { ...REDIS, GATEWAY_POOLS: '{"a":{"b":{"engine":1}}}' },
    'GATEWAY_POOLS: a.b.engines takes a whole number, 1 or more',
  ],
  ['a URL, not repeated', { GATEWAY_REDIS_URL: 'hunter2' }, 'GATEWAY_REDIS_URL: takes a URL such as'],
])('F4: a bad setting is reported with its name and its allowed values: %s', (_what, env, sentence) => {
  const message = messageOf(() => loadConfig(env));
  expect(message).toContain(sentence);
  expect(message).not.toMatch(/Invalid|expected|undefined|NaN|hunter2/);
});

test('F4: every setting of both programs has a description of its values', () => {
  for (const [load, source] of [
    [loadConfig, 'gateway/config.ts'],
    [loadWorkerConfig, 'worker-launcher/config.ts'],
  ] as const) {
    const names = readFileSync(source, 'utf8').match(/(?<=^ {2})(GATEWAY|WORKER)_[A-Z_]+(?=:)/gm) ?? [];
    expect(names.length).toBeGreaterThan(30);
    const message = messageOf(() => load(Object.fromEntries(names.map((name) => [name, '= ?']))));
    expect(message).toMatch(/_REDIS_URL: takes/);
    expect(message).not.toMatch(/Invalid|expected|undefined|NaN|Too (big|small)/);
  }
});

test('F4: a missing folder of model cards is reported with its setting', () => {
  expect(() => readYamlFolder('/nowhere', 'GATEWAY_MODELS_DIR')).toThrow(
    'GATEWAY_MODELS_DIR: /nowhere cannot be read (ENOENT)',
  );
});

test('variables that Kubernetes injects for a Service called gateway are ignored', () => {
  const injected = {
    GATEWAY_PORT: 'tcp://10.0.0.1:80',
    GATEWAY_SERVICE_HOST: '10.0.0.1',
    GATEWAY_SERVICE_PORT_HTTP: '80',
    GATEWAY_PORT_80_TCP_ADDR: '10.0.0.1',
  };
  expect(loadConfig({ ...REDIS, ...injected }).GATEWAY_PORT).toBe(8080);
});

test('without keys a gateway listens only on loopback', () => {
  expect(() => loadConfig({ ...REDIS, GATEWAY_HOST: '0.0.0.0' })).toThrow('GATEWAY_HOST');
});

test('H7: a gateway off loopback stops after a delay, one on loopback immediately, unless a setting says otherwise', () => {
  const keys = { ...REDIS, GATEWAY_KEYS_FILE: 'keys.yaml' };
  const delayOf = (env: NodeJS.ProcessEnv): number => loadConfig({ ...keys, ...env }).GATEWAY_DRAIN_DELAY_MS;
  expect(['127.0.0.1', 'localhost', '::1'].map((host) => delayOf({ GATEWAY_HOST: host }))).toEqual([0, 0, 0]);
  expect(['0.0.0.0', '::', '10.0.0.1'].map((host) => delayOf({ GATEWAY_HOST: host }))).toEqual([2_000, 2_000, 2_000]);
  expect(delayOf({ GATEWAY_HOST: '0.0.0.0', GATEWAY_DRAIN_DELAY_MS: '0' })).toBe(0);
  expect(delayOf({ GATEWAY_DRAIN_DELAY_MS: '700' })).toBe(700);
});

test('deployments are pairs of a name and a card', () => {
  const { GATEWAY_DEPLOYMENTS: pairs } = loadConfig({
    ...REDIS,
    GATEWAY_DEPLOYMENTS: 'blue=azureai, team/green = Phi-4',
  });
  expect(pairs).toEqual([
    ['blue', 'azureai'],
    ['team/green', 'Phi-4'],
  ]);
  expect(() => loadConfig({ ...REDIS, GATEWAY_DEPLOYMENTS: 'blue' })).toThrow('each must be NAME=CARD');
});
