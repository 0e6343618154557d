import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { Answer, post } from '../support/chat-client.ts';
import { startStack } from '../support/stack.ts';

/** Variables that Kubernetes injects into every pod for Services of these names, if service links are on. */
function injectedFor(service: string): Record<string, string> {
  const at = service.toUpperCase().replaceAll('-', '_');
  return {
    [`${at}_SERVICE_HOST`]: '10.0.0.1',
    [`${at}_SERVICE_PORT`]: '80',
    [`${at}_SERVICE_PORT_HTTP`]: '80',
    [`${at}_PORT`]: 'tcp://10.0.0.1:80',
    [`${at}_PORT_80_TCP`]: 'tcp://10.0.0.1:80',
    [`${at}_PORT_80_TCP_PROTO`]: 'tcp',
    [`${at}_PORT_80_TCP_PORT`]: '80',
    [`${at}_PORT_80_TCP_ADDR`]: '10.0.0.1',
  };
}
const SERVICES = ['vllm', 'worker', 'penstock', 'penstock-sim', 'worker-redis', 'cuda', 'gateway-redis'];
const injected = Object.assign({}, ...SERVICES.map(injectedFor)) as Record<string, string>;

test('with Services called vllm, gateway, worker or penstock both programs start, and no engine gets their variables', async () => {
  const { GATEWAY_PORT: _taken, ...ofGateway } = injectedFor('gateway');
  await using stack = await startStack({
    gatewayEnv: { ...injected, ...ofGateway },
    workerEnv: { ...injected, ...injectedFor('gateway') },
  });
  const body = { max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };
  const answer = await post(`${stack.url}/v1/chat/completions`, { model: 'Phi-3-vision-128k-instruct', ...body });
  expect(Answer.parse(await answer.json()).choices[0].finish_reason).toBe('length');

  const engines = (await stack.status()).workers.flatMap((worker) => worker.engines);
  expect(engines).toHaveLength(1);
  for (const { pid } of engines) {
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    expect(environment.filter((entry) => /10\.0\.0\.1|_SERVICE_|_PORT(_|=)/.test(entry))).toEqual([]);
  }
}, 60_000);
