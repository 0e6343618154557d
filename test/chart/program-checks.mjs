// @ts-check
/** The chart against the programs that it starts: their settings, their cards, their queue names. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { QueueKeys } from 'bullmq';
import { parse } from 'yaml';
import { copyProblems } from './packaged-copies.mjs';
import { objects, render, ROOT, shapes } from './render.mjs';

/** @typedef {import('./bench.mjs').Bench} Bench */

/** @param {Bench} bench */
export async function programSettings({ tools, report }) {
  const helm = await tools.goProgram('helm3');
  const gateway = await import(join(ROOT, 'dist/gateway/config.js'));
  const worker = await import(join(ROOT, 'dist/worker-launcher/config.js'));
  const { parseCatalog } = await import(join(ROOT, 'dist/gateway/contract/model-card.js'));
  const { redisKeys } = await import(join(ROOT, 'dist/gateway/contract/redis-keys.js'));
  for (const { shape, values } of shapes()) {
    const all = objects(await render(helm, values));
    const cards = Object.entries(all.find(({ metadata }) => metadata.name === 'shape-penstock-models').data);
    const catalog = parseCatalog(cards.map(([file, text]) => ({ file, value: parse(String(text)) })));
    await report.check(`programs take their rendered settings and cards, ${shape}`, () => {
      for (const deployment of all.filter(({ kind }) => kind === 'Deployment')) {
        const env = environment(deployment);
        if (deployment.metadata.name === 'shape-penstock-gateway') {
          const { GATEWAY_POOLS: pools } = gateway.loadConfig(env);
          for (const model of Object.values(pools).flatMap((pool) => Object.keys(/** @type {any} */ (pool))))
            if (catalog.find(model) === undefined) throw new Error(`GATEWAY_POOLS names ${model}, which has no card`);
        } else {
          const { WORKER_MODEL: model } = worker.loadConfig(env);
          const mounted = deployment.spec.template.spec.volumes.find((/** @type {any} */ { name }) => name === 'models')
            .configMap.items;
          const known = mounted.every((/** @type {any} */ { key }) => cards.some(([file]) => file === key));
          if (!known || catalog.find(model)?.name !== model) throw new Error(`the card of ${model} is not mounted`);
        }
      }
    });
    const scaled = all.filter(({ kind }) => kind === 'ScaledObject');
    const triggers = scaled.flatMap(({ spec }) => spec.triggers).filter(({ type }) => type === 'redis');
    if (triggers.length > 0)
      await report.check(`KEDA looks at the queues that the programs use, ${shape}`, () => {
        const found = triggers.map(({ metadata }) => metadata.listName);
        const model = catalog.cards[0].name;
        const wanted = ['text', 'image'].flatMap((queue) =>
          ['wait', 'prioritized', 'active'].map((state) =>
            new QueueKeys(redisKeys.queuePrefix(model)).toKey(queue, state),
          ),
        );
        if (!isDeepStrictEqual(found, wanted)) throw new Error(`${found.join(' ')}\n${wanted.join(' ')}`);
      });
  }
}

/** @param {Bench} bench */
export async function packagedCopies({ report }) {
  await report.check('the chart packages the cards, alerts and dashboards of deploy/, and no others', () => {
    const problems = copyProblems();
    if (problems.length > 0) throw new Error(problems.join('\n'));
  });
}

/**
 * The main container's variables; a word replaces a value from a Secret or field.
 * @param {any} deployment
 * @returns {Record<string, string>}
 */
function environment(deployment) {
  const { env } = deployment.spec.template.spec.containers[0];
  return Object.fromEntries(env.map((/** @type {any} */ { name, value }) => [name, value ?? 'from-elsewhere']));
}
