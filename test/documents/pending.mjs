// @ts-check
/** Pages, and folders of programs, whose language is not yet that of the checks. It only gets shorter. */
/** @type {readonly string[]} */
const PENDING = [
  'charts/penstock/README.md',
  'deploy/README.md',
  'deploy/aks',
  'test/README.md',
  'test/sdks/clients/python/README.md',
  'test/vllm/model/README.md',
  'worker-launcher/README.md',
  'worker-launcher/simulator/README.md',
  'deploy/all-in-one.sh',
  'deploy/compose.yaml',
  'deploy/local',
  'deploy/observability',
  'gateway/answer',
  'gateway/cards',
  'gateway/config.ts',
  'gateway/contract',
  'gateway/dialects',
  'gateway/failure.ts',
  'gateway/http',
  'gateway/images',
  'gateway/intake',
  'gateway/keys',
  'gateway/main.ts',
  'gateway/metrics.ts',
  'gateway/queue',
  'gateway/relay',
  'gateway/request',
  'gateway/runtime',
  'gateway/workers',
  'worker-launcher',
];

/** @param {string} file */
export function isPending(file) {
  return PENDING.some((one) => file === one || file.startsWith(`${one}/`));
}
