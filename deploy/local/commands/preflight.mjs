// @ts-check
import { resolve, join } from 'node:path';
import { compiled } from './compiled.mjs';
import { FLAG, HELP_FLAG, readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

const PREFLIGHT_HELP = `penstock preflight: compare this machine with the model card, and plan its engines

  --facts FILE       read the facts of a machine from a JSON or YAML file             (WORKER_FACTS_FILE)
  --override-sku     pass even if the machine does not meet the card's requirements   (WORKER_OVERRIDE_SKU)
  --hashes           compare the contents of the weights with the card, too          (WORKER_WEIGHTS_CHECK=hashes)
  --models DIR       folder of model cards                                            (WORKER_MODELS_DIR)
  --json             print facts, checks and plan as JSON
  --help             print this help

The plan uses WORKER_SKU, WORKER_ENGINES, WORKER_TENSOR_PARALLEL, WORKER_MAX_MODEL_LEN and the other settings of a
worker-launcher. If WORKER_REDIS_URL (or GATEWAY_REDIS_URL) is set, preflight checks that Redis as well.
Exit code 0: the machine and Redis pass; 1: one of them does not.
`;

const OPTIONS = { hashes: FLAG, facts: TEXT, models: TEXT, json: FLAG, 'override-sku': FLAG, help: HELP_FLAG };

/**
 * @param {readonly string[]} args arguments after `preflight`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 * @throws Refusal in one sentence
 */
export async function preflightCommand(args, setup) {
  const { values: asked } = readOptions('penstock preflight', args, OPTIONS, 0);
  if (asked.help === true) return setup.print(PREFLIGHT_HELP.trimEnd());
  const { root, cwd, env } = setup;
  const models = asked.models ?? env['WORKER_MODELS_DIR'];
  const module = /** @type {typeof import('../../../worker-launcher/preflight/command.ts')} */ (
    await compiled('worker-launcher/preflight/command.js', setup)
  );
  try {
    const { text, passes } = await module.preflightCommand({
      facts: asked.facts === undefined ? undefined : resolve(cwd, asked.facts),
      json: asked.json === true,
      overrideSku: asked['override-sku'] === true,
      modelsDir: models ? resolve(cwd, models) : join(root, 'deploy/models'),
      env: asked.hashes === true ? { ...env, WORKER_WEIGHTS_CHECK: 'hashes' } : env,
      onProgress: setup.say,
    });
    setup.print(text);
    return passes ? 0 : 1;
  } catch (error) {
    throw new Refusal(reasonOf(error));
  }
}
