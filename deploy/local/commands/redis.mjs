// @ts-check
import { createHash, randomBytes } from 'node:crypto';
import { compiled } from './compiled.mjs';
import { FLAG, HELP_FLAG, readOptions, TEXT, TEXTS } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';

const REDIS_HELP = `penstock redis: users of Redis with the least rights

  penstock redis acl --role gateway [options]                    print the command that makes a user for the gateways
  penstock redis acl --role worker --model NAME [options]        the same for the workers of a model, which can neither read
                                                                 nor change what concerns other models

  --model NAME      model that the user serves; again for a further one. Gateways: all that they serve  (gateway: all)
  --redis PART      first: queue, registry, durable answers; second: bodies and replies; single: both in one  (single)
  --prefix P        first part of every key, as *_REDIS_PREFIX               (penstock)
  --user NAME       name of the user        (penstock-gateway, penstock-worker-MODEL)
  --generate        make a password: the command has its SHA-256, and standard error the password.
                    Without it the command has the placeholder PASSWORD
  --file            print a line of an ACL file in place of a command
  --cluster         for a Redis Cluster of several addresses, whose client needs more commands
  --redis-6         for Redis 6.2, which cannot tell reading from writing
  --help            print this help

The user of a worker may be refused one more command: a worker writes its report for gateways of release 0.2 too, and stops
when Redis refuses that.
`;

const OPTIONS = {
  role: TEXT,
  model: TEXTS,
  redis: TEXT,
  prefix: TEXT,
  user: TEXT,
  generate: FLAG,
  file: FLAG,
  cluster: FLAG,
  'redis-6': FLAG,
  help: HELP_FLAG,
};
const PARTS = /** @type {const} */ (['first', 'second', 'single']);
/** Of a model card, and of `GATEWAY_REDIS_PREFIX`: anything else could act as a pattern. */
const NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,254}$/;
const PREFIX = /^[A-Za-z0-9._-]{1,64}$/;
/** Their queue has the place of a model. */
const WEBHOOKS = 'webhooks';
const PASSWORD_BYTES = 32;

/**
 * @typedef {typeof import('../../../gateway/contract/redis-rights.ts')} RedisRights
 * @typedef {typeof import('../../../gateway/contract/redis-keys.ts')} RedisKeys
 */

/**
 * @param {readonly string[]} args arguments after `redis`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 * @throws Refusal in one sentence
 */
export async function redisCommand(args, setup) {
  const { values, words } = readOptions('penstock redis', args, OPTIONS, 1);
  if (values.help === true || words[0] === undefined) return setup.print(REDIS_HELP.trimEnd());
  if (words[0] !== 'acl') throw new Refusal(`unknown command 'redis ${words[0]}'; see penstock redis --help`);
  const { role, model: models = [], prefix = 'penstock', redis = 'single' } = values;
  if (role !== 'gateway' && role !== 'worker') throw new Refusal('--role takes gateway or worker');
  const part = PARTS.find((one) => one === redis);
  if (part === undefined) throw new Refusal(`--redis takes ${PARTS.join(', ')}`);
  if (role === 'worker' && models.length === 0) throw new Refusal('a worker needs --model, the name of its card');
  for (const model of models)
    if (!NAME.test(model) || model === WEBHOOKS) throw new Refusal(`'${model}' cannot be the name of a model card`);
  if (!PREFIX.test(prefix)) throw new Refusal('--prefix takes up to 64 letters, digits, dots, dashes and underscores');
  const user = values.user ?? (role === 'gateway' ? 'penstock-gateway' : `penstock-worker-${models.join('-')}`);
  if (!/^[\w.@-]{1,300}$/.test(user)) throw new Refusal('--user takes letters, digits and . - _ @');

  const { useKeyPrefix } = /** @type {RedisKeys} */ (await compiled('gateway/contract/redis-keys.js', setup));
  const { aclRules, redisRights } = /** @type {RedisRights} */ (
    await compiled('gateway/contract/redis-rights.js', setup)
  );
  useKeyPrefix(prefix);
  const rules = aclRules(redisRights(role, part, models, values.cluster === true), values['redis-6'] === true);
  const password = values.generate === true ? randomBytes(PASSWORD_BYTES).toString('base64url') : undefined;
  const secret = password === undefined ? '>PASSWORD' : `#${createHash('sha256').update(password).digest('hex')}`;
  if (password !== undefined) setup.say(`the password of ${user}, which cannot be printed again: ${password}`);
  // `reset` first, so that a user that exists keeps no right and no password.
  const head = values.file === true ? `user ${user} on` : `ACL SETUSER ${user} reset on`;
  return setup.print([head, secret, ...rules].join(' '));
}
