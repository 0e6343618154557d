/** Values as people and scripts write them into spec files. Each reader takes every known form. */

/** @returns undefined for anything but a text, and for blanks */
export function asText(value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string') return undefined;
  const trimmed = text.trim();
  return trimmed === '' ? undefined : trimmed;
}

/** A flag is a boolean, its word, or a key without a value. @returns undefined for anything else */
export function asFlag(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === null) return true;
  const word = typeof value === 'string' || typeof value === 'number' ? String(value).trim().toLowerCase() : undefined;
  if (word === '' || word === 'true' || word === 'yes' || word === '1') return true;
  return word === 'false' || word === 'no' || word === '0' ? false : undefined;
}

/** A list, one item, or items with commas between, with or without brackets. @returns undefined if it is empty */
export function asList(value: unknown): string[] | undefined {
  const items = Array.isArray(value)
    ? value
    : (asText(value)
        ?.replace(/^\[|\]$/g, '')
        .split(',') ?? []);
  const texts = items.flatMap((item: unknown) => asText(item)?.replace(/^(['"])(.*)\1$/, '$2') ?? []);
  return texts.length === 0 ? undefined : [...new Set(texts)];
}

/** A whole number above 0, also as text and with thousands separators. */
export function asCount(value: unknown): number | undefined {
  const text = asText(value)?.replace(/(?<=\d)[,_ ](?=\d{3})/g, '');
  const count = text === undefined || !/^\d+(\.0+)?$/.test(text) ? 0 : Number(text);
  return count > 0 && Number.isSafeInteger(count) ? count : undefined;
}

/** `48|2|440|128`: vCPUs, GPUs, memory and temporary disk in GB. */
export interface SkuSpec {
  readonly vcpus: number;
  readonly gpus: number;
  readonly memoryGib: number;
  readonly diskGib: number;
}

export function asSkuSpec(value: unknown): SkuSpec | undefined {
  const numbers = asText(value)?.split('|').map(asCount) ?? [];
  const [vcpus, gpus, memoryGib, diskGib] = numbers;
  if (numbers.length !== 4 || vcpus === undefined || gpus === undefined) return undefined;
  return memoryGib === undefined || diskGib === undefined ? undefined : { vcpus, gpus, memoryGib, diskGib };
}
