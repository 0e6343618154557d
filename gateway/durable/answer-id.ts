import { createHash, randomBytes } from 'node:crypto';

/** @returns an id that no other answer has, and that names its model for `likelyFirst` */
export function newAnswerId(kind: 'resp' | 'post', model: string): string {
  return `${kind}_${randomBytes(12).toString('hex')}${markOf(model)}`;
}

/**
 * The models, the one of this id before the others. A worker can write records of its own model under each id. So a record
 * of another model is only looked for if this one has none. Ids of release 0.2 and before name no model.
 */
export function likelyFirst(models: readonly string[], id: string): readonly string[] {
  const likely = models.filter((model) => id.endsWith(markOf(model)));
  return likely.length === 0 ? models : [...likely, ...models.filter((model) => !likely.includes(model))];
}

function markOf(model: string): string {
  return createHash('sha256').update(model).digest('hex').slice(0, 8);
}
