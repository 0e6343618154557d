import { SERVICE_CLASSES, type ServiceClass } from '#contract/service-class';

/** OpenAI's other words for two of the classes. */
const WORDS: Readonly<Record<string, ServiceClass>> = { fast: 'priority', auto: 'default' };

/** The class that a request asks for by `service_tier`; a word of no class here means `default`. Absent: it asks for none. */
export function readServiceTier(value: unknown): { readonly serviceTier?: ServiceClass } {
  if (typeof value !== 'string' || value === '') return {};
  return { serviceTier: SERVICE_CLASSES.find((one) => one === value) ?? WORDS[value] ?? 'default' };
}
