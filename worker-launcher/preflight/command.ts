import { loadConfig } from '../config.ts';
import { parseCatalog } from '#contract/model-card';
import { readYamlFolder } from '#runtime/yaml-folder';
import { chooseCard } from './choose-card.ts';
import { readFactsFile } from './facts.ts';
import { preflight } from './preflight.ts';
import { readFacts } from './read-facts.ts';
import { renderPreflight } from './report.ts';

/**
 * What `penstock preflight` does. Settings come from `WORKER_*`, as for a worker-launcher.
 * @returns what to print, and whether the machine passes or is let pass
 * @throws Error in one sentence for bad settings, cards or facts
 */
export async function preflightCommand(asked: {
  readonly facts: string | undefined;
  readonly json: boolean;
  readonly overrideSku: boolean;
  readonly modelsDir: string;
  readonly env: NodeJS.ProcessEnv;
}): Promise<{ readonly text: string; readonly passes: boolean }> {
  // No queue is asked here.
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://127.0.0.1', ...asked.env });
  const card = chooseCard(
    parseCatalog(readYamlFolder(asked.modelsDir, '--models or WORKER_MODELS_DIR')),
    config.WORKER_MODEL,
  );
  const file = asked.facts ?? config.WORKER_FACTS_FILE;
  const read = file === undefined ? await readFacts(asked.env, { sku: config.WORKER_SKU }) : readFactsFile(file);
  const facts = config.WORKER_SKU === undefined ? read : { ...read, sku: config.WORKER_SKU };
  const result = preflight(config, card, facts, { env: asked.env, elsewhere: file !== undefined });
  const text = asked.json ? JSON.stringify({ facts, ...result }, null, 2) : renderPreflight(result);
  return { text, passes: result.passes || asked.overrideSku || config.WORKER_OVERRIDE_SKU };
}
