import type { ConsoleModel, ConsoleSession, ConsoleUsage, LiveView } from '#contract/console';
import { hasLists, isRecord, textIn, type Loose } from './read-json.ts';

/** The shapes of the gateway's data, as far as the views rely on them. `gateway/contract/console.ts` has all of it. */

export function isSession(value: unknown): value is ConsoleSession {
  return (
    isRecord(value) &&
    textIn(value, 'keyId') !== undefined &&
    typeof value['operate'] === 'boolean' &&
    typeof value['usageDays'] === 'number'
  );
}

export function isModels(value: unknown): value is { models: ConsoleModel[] } {
  return isRecord(value) && hasLists(value, 'models') && everyIn(value, 'models', isModel);
}

export function isUsage(value: unknown): value is ConsoleUsage {
  return isRecord(value) && hasLists(value, 'rows') && everyIn(value, 'rows', (row) => isRecord(row['counts']));
}

export function isLiveView(value: unknown): value is LiveView {
  return (
    isRecord(value) &&
    hasLists(value, 'engines', 'queues', 'redis', 'requests') &&
    isRecord(value['admission']) &&
    everyIn(
      value,
      'engines',
      ({ inFlight, slots, gpus }) => isLoad(inFlight) && isLoad(slots) && Array.isArray(gpus),
    ) &&
    everyIn(value, 'queues', (queue) => hasLists(queue, 'keys'))
  );
}

function isModel(model: Loose): boolean {
  const lists = ['aliases', 'deployments', 'languages', 'input', 'machines', 'rules'];
  return textIn(model, 'name') !== undefined && lists.every((name) => Array.isArray(model[name]));
}

function isLoad(value: unknown): boolean {
  return isRecord(value) && typeof value['text'] === 'number' && typeof value['image'] === 'number';
}

function everyIn(record: Loose, name: string, holds: (item: Loose) => boolean): boolean {
  const list = record[name];
  return Array.isArray(list) && list.every((item) => isRecord(item) && holds(item));
}
