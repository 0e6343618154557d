import { loadConfig } from '../config.ts';
import { parseCatalog, type ModelCard } from '#contract/model-card';
import { readYamlFolder } from '#runtime/yaml-folder';
import { lookAtBoth } from './redis-connections.ts';
import { chooseCard } from './choose-card.ts';
import { readFactsFile } from './facts.ts';
import { preflight, type Preflight } from './preflight.ts';
import { readFacts } from './read-facts.ts';
import { checkRedis } from './redis.ts';
import { renderPreflight } from './report.ts';
import { hashProblem } from './weight-files.ts';

/** How often progress is reported, as a share. */
const TELL_EVERY = 0.1;

/**
 * Runs `penstock preflight`. It reads `WORKER_*` settings like a worker-launcher, and checks Redis if its URL is set.
 * @returns the text to print, and whether Redis passes and the machine passes or an override is set
 * @throws Error in one sentence for bad settings, cards or facts
 */
export async function preflightCommand(asked: {
  readonly facts: string | undefined;
  readonly json: boolean;
  readonly overrideSku: boolean;
  readonly modelsDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** of the check of hashes, in words for people */
  readonly onProgress?: (stage: string) => void;
}): Promise<{ readonly text: string; readonly passes: boolean }> {
  const env = withRedisOfGateways(asked.env);
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://127.0.0.1', ...env });
  const card = chooseCard(
    parseCatalog(readYamlFolder(asked.modelsDir, '--models or WORKER_MODELS_DIR')),
    config.WORKER_MODEL,
  );
  const file = asked.facts ?? config.WORKER_FACTS_FILE;
  const read = file === undefined ? await readFacts(asked.env, { sku: config.WORKER_SKU }) : readFactsFile(file);
  const facts = config.WORKER_SKU === undefined ? read : { ...read, sku: config.WORKER_SKU };
  const sized = preflight(config, card, facts, { env: asked.env, elsewhere: file !== undefined });
  const result = config.WORKER_WEIGHTS_CHECK === 'hashes' ? await withHashes(sized, card, asked.onProgress) : sized;
  const redis = env['WORKER_REDIS_URL'] ? (await lookAtBoth(config, card.name)).flatMap(checkRedis) : [];
  const text = asked.json ? JSON.stringify({ facts, ...result, redis }, null, 2) : renderPreflight(result, redis);
  const machinePasses = result.passes || asked.overrideSku || config.WORKER_OVERRIDE_SKU;
  return { text, passes: machinePasses && redis.every(({ passes }) => passes) };
}

/** The same, with the contents of the weights compared too. */
async function withHashes(
  result: Preflight,
  card: ModelCard,
  onProgress: (stage: string) => void = () => {},
): Promise<Preflight> {
  const { weights } = result;
  const { files } = card.engine;
  if (weights === null || weights.folder === null || weights.problem !== null || files === undefined) return result;
  let told = 0;
  const problem = await hashProblem(weights.folder, files, (share) => {
    if (share < told + TELL_EVERY) return;
    told = share;
    onProgress(`checking weights, ${Math.floor(share * 100)} %`);
  });
  if (problem === undefined) return result;
  return { ...result, passes: false, weights: { ...weights, problem } };
}

/** Uses the gateway's Redis settings if the worker has none, because both need the same Redis. */
function withRedisOfGateways(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env['WORKER_REDIS_URL']) return env;
  const theirs = Object.entries(env).filter(([name]) => /^GATEWAY_(REPLY_)?REDIS_/.test(name));
  return { ...env, ...Object.fromEntries(theirs.map(([name, value]) => [name.replace('GATEWAY_', 'WORKER_'), value])) };
}
