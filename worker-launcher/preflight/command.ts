import { loadConfig } from '../config.ts';
import { parseCatalog } from '#contract/model-card';
import { readYamlFolder } from '#runtime/yaml-folder';
import { lookAtBoth } from './redis-connections.ts';
import { chooseCard } from './choose-card.ts';
import { readFactsFile } from './facts.ts';
import { preflight } from './preflight.ts';
import { readFacts } from './read-facts.ts';
import { checkRedis } from './redis.ts';
import { renderPreflight } from './report.ts';

/**
 * What `penstock preflight` does. Settings come from `WORKER_*`, as for a worker-launcher; Redis is asked where its URL is set.
 * @returns what to print, and whether the machine passes, or is let pass, and Redis passes
 * @throws Error in one sentence for bad settings, cards or facts
 */
export async function preflightCommand(asked: {
  readonly facts: string | undefined;
  readonly json: boolean;
  readonly overrideSku: boolean;
  readonly modelsDir: string;
  readonly env: NodeJS.ProcessEnv;
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
  const result = preflight(config, card, facts, { env: asked.env, elsewhere: file !== undefined });
  const redis = env['WORKER_REDIS_URL'] ? (await lookAtBoth(config)).flatMap(checkRedis) : [];
  const text = asked.json ? JSON.stringify({ facts, ...result, redis }, null, 2) : renderPreflight(result, redis);
  const machinePasses = result.passes || asked.overrideSku || config.WORKER_OVERRIDE_SKU;
  return { text, passes: machinePasses && redis.every(({ passes }) => passes) };
}

/** `penstock up` gives a worker the Redis of its gateway, and so do most who set one by hand. */
function withRedisOfGateways(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env['WORKER_REDIS_URL']) return env;
  const theirs = Object.entries(env).filter(([name]) => /^GATEWAY_(REPLY_)?REDIS_/.test(name));
  return { ...env, ...Object.fromEntries(theirs.map(([name, value]) => [name.replace('GATEWAY_', 'WORKER_'), value])) };
}
