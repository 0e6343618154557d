import { parseCatalog, type Catalog } from '#contract/model-card';
import { useKeyPrefix } from '#contract/redis-keys';
import { createAudit, thisUser, type Audit } from '#runtime/audit';
import { monotonic as clock } from '#runtime/clock';
import { newIncarnation } from '#runtime/incarnation';
import { captureConsole, createLog } from '#runtime/log';
import { wantsNewestNames } from '#runtime/newest-names';
import { wantsTraces } from '#runtime/trace-settings';
import { readYamlFolder } from '#runtime/yaml-folder';
import { callerFiles } from './config-parts.ts';
import { loadConfig } from './config.ts';
import { followCallers } from './identity/live-callers.ts';
import { checkPools } from './workers/scale.ts';

/** What the operator gave: settings, cards and keys, read once at start. @throws Error that names what cannot be used */
export function readSettings() {
  const config = loadConfig(process.env);
  const observed = { isTraced: wantsTraces(process.env), isNewest: wantsNewestNames(process.env) };
  useKeyPrefix(config.GATEWAY_REDIS_PREFIX);
  const log = createLog('gateway', config.GATEWAY_LOG_LEVEL);
  captureConsole(log);
  const { GATEWAY_AUDIT_FILE: place, GATEWAY_AUDIT_REQUESTS: requests } = config;
  const audit = createAudit('gateway', { place, setting: 'GATEWAY_AUDIT_FILE', requests, log });
  const files = readYamlFolder(config.GATEWAY_MODELS_DIR, 'GATEWAY_MODELS_DIR');
  const catalog = parseCatalog(files, config.GATEWAY_DEPLOYMENTS);
  const models = catalog.cards.map(({ name }) => name);
  checkPools(config.GATEWAY_POOLS, models);
  const callers = followCallers(callerFiles(config), clock, log, audit);
  recordStart(audit, catalog, files);
  const replica = newIncarnation('g');
  const policy = { maxTokens: config.GATEWAY_MAX_TOKENS, maxChoices: config.GATEWAY_MAX_CHOICES };
  return { config, log, audit, catalog, policy, models, callers, keys: callers?.keys, replica, ...observed };
}

/** A gateway reads settings and cards only when it starts, so each change of them is a start. */
function recordStart(audit: Audit, { cards }: Catalog, files: readonly { readonly sha256: string }[]): void {
  const done = { who: thisUser(), result: 'done' } as const;
  const fields = Object.keys(process.env).filter((name) => name.startsWith('GATEWAY_'));
  audit.record({ act: 'settings.read', what: 'gateway', fields: fields.toSorted(), ...done });
  for (const [at, { name, version }] of cards.entries())
    audit.record({ act: 'card.read', what: name, version, sha256: files[at]?.sha256, ...done });
}
