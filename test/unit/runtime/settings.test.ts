import { expect, test } from '@jest/globals';
import { loadConfig } from '../../../gateway/config.ts';

const REDIS = { GATEWAY_REDIS_URL: 'redis://127.0.0.1:6379' };

test('defaults apply and other variables are none of our business', () => {
  expect(loadConfig({ ...REDIS, PATH: '/bin' })).toMatchObject({ GATEWAY_PORT: 8080, GATEWAY_MAX_CHOICES: 1 });
});

test('an unknown name is refused, with the name', () => {
  expect(() => loadConfig({ ...REDIS, GATEWAY_PROT: '1' })).toThrow('GATEWAY_PROT: unknown setting');
});

test('every bad value is named at once', () => {
  expect(() => loadConfig({ GATEWAY_PORT: 'x', GATEWAY_MAX_TOKENS: 'maybe' })).toThrow(
    /GATEWAY_REDIS_URL[\s\S]*GATEWAY_PORT[\s\S]*GATEWAY_MAX_TOKENS/,
  );
});

test('what Kubernetes injects for a Service called gateway is passed over', () => {
  const injected = {
    GATEWAY_PORT: 'tcp://10.0.0.1:80',
    GATEWAY_SERVICE_HOST: '10.0.0.1',
    GATEWAY_SERVICE_PORT_HTTP: '80',
    GATEWAY_PORT_80_TCP_ADDR: '10.0.0.1',
  };
  expect(loadConfig({ ...REDIS, ...injected }).GATEWAY_PORT).toBe(8080);
});

test('nothing unauthenticated off loopback', () => {
  expect(() => loadConfig({ ...REDIS, GATEWAY_HOST: '0.0.0.0' })).toThrow('GATEWAY_HOST');
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
