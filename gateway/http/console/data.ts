import type { RequestHandler } from 'express';
import type { ConsoleModel, ConsoleSession, ConsoleUsage } from '#contract/console';
import type { Catalog, ModelCard } from '#contract/model-card';
import { dayOf } from '#contract/usage';
import { Failure } from '../../failure.ts';
import { cardSentences, mostImages } from '../../request/card-words.ts';
import type { UsageFilter, UsageRow } from '../../usage/usage-report.ts';
import { ownVersion } from '#runtime/own-version';
import { requestContext } from '../request-context.ts';

const DAY_MS = 86_400_000;
const USUAL_DAYS = 30;
/** Limit of the rows of an answer. */
const MOST_ROWS = 20_000;

export interface ConsoleDataDeps {
  readonly catalog: Catalog;
  readonly policy: { readonly maxChoices: number };
  /** keys are configured */
  readonly keyed: boolean;
  readonly readyEngines: (model?: string) => number;
  /** @throws while Redis is away */
  readonly usageRows: (filter: UsageFilter) => Promise<readonly UsageRow[]>;
  /** how long usage is kept */
  readonly usageDays: number;
}

/** `GET /console/session` */
export function consoleSession({ keyed, usageDays }: Pick<ConsoleDataDeps, 'keyed' | 'usageDays'>): RequestHandler {
  return (_req, res) => {
    const { id: keyId, mayOperate: operate } = requestContext(res).caller;
    res.json({ version: ownVersion, keys: keyed, keyId, operate, usageDays } satisfies ConsoleSession);
  };
}

/** `GET /console/models`: the models that the caller may use. */
export function consoleModels(deps: ConsoleDataDeps): RequestHandler {
  return (_req, res) => {
    const { caller } = requestContext(res);
    const models = deps.catalog.cards.filter((card) => caller.mayUse(card)).map((card) => modelOf(card, deps));
    res.json({ models });
  };
}

function modelOf(card: ModelCard, { catalog, policy, readyEngines }: ConsoleDataDeps): ConsoleModel {
  const { name, version, aliases, task, publisher, license, released, retired, limits, responsible_use: use } = card;
  return {
    name,
    version,
    aliases,
    task,
    publisher,
    license,
    released,
    retired,
    deployments: [...catalog.deployments].filter(([, named]) => named === card).map(([deployment]) => deployment),
    languages: card.languages ?? [],
    input: card.modalities.input,
    images: mostImages(card),
    contextTokens: limits.context_tokens,
    maxOutputTokens: limits.max_output_tokens,
    defaultOutputTokens: limits.default_output_tokens,
    tools: limits.tools,
    machines: card.hardware.allowed_skus,
    ...(use === undefined ? {} : { notice: { text: use.notice, link: use.link } }),
    rules: cardSentences(card, policy.maxChoices),
    readyEngines: readyEngines(name),
  };
}

/** `GET /console/usage?days=30`: of the caller's own key, and of all keys if it may operate. */
export function consoleUsage({ usageRows, usageDays }: ConsoleDataDeps): RequestHandler {
  return async (req, res) => {
    const { caller } = requestContext(res);
    const days = daysOf(req.query['days'], usageDays);
    const since = dayOf(Date.now() - (days - 1) * DAY_MS);
    const rows = await usageRows({ since, key: caller.mayOperate ? undefined : caller.id }).catch((cause: unknown) => {
      throw new Failure('queue_unavailable', 'Redis does not answer at the moment', { cause });
    });
    if (rows.length > MOST_ROWS)
      throw new Failure(
        'invalid_request',
        `the usage of ${days} days has more than ${MOST_ROWS} rows; ask for fewer days`,
        {
          param: 'days',
          asked: rows.length,
          allowed: MOST_ROWS,
        },
      );
    const told: ConsoleUsage = { rows: rows.map(({ day, key, model, ...counts }) => ({ day, key, model, counts })) };
    res.json(told);
  };
}

/** @throws Failure `invalid_request` */
function daysOf(given: unknown, most: number): number {
  if (given === undefined) return Math.min(USUAL_DAYS, most);
  const days = typeof given === 'string' && /^\d{1,5}$/.test(given) ? Number(given) : 0;
  if (days >= 1 && days <= most) return days;
  throw new Failure('invalid_request', `days must be a whole number from 1 to ${most}`, { param: 'days' });
}
