import { asCount, asFlag, asList, asSkuSpec, asText, type SkuSpec } from './loose-values.ts';
import type { Found, SpecFile } from './spec-file.ts';

/** The facts of a spec file that a card needs; missing ones are undefined. */
export interface SpecFacts {
  readonly name: Found<string> | undefined;
  readonly version: Found<string> | undefined;
  readonly task: Found<string> | undefined;
  readonly publisher: Found<string> | undefined;
  readonly license: Found<string> | undefined;
  readonly languages: Found<string[]> | undefined;
  /** day on which inference ends */
  readonly retired: Found<string> | undefined;
  readonly inputs: Found<string[]> | undefined;
  readonly contextTokens: Found<number> | undefined;
  readonly maxOutputTokens: Found<number> | undefined;
  /** absent means allowed (source: Azure's catalog) */
  readonly batch: Found<boolean> | undefined;
  readonly skus: Found<string[]> | undefined;
  readonly leastSku: Found<SkuSpec> | undefined;
  readonly engines: Found<string[]> | undefined;
  readonly hubName: Found<string> | undefined;
  readonly revision: Found<string> | undefined;
}

/**
 * Reads the facts under their names in either generation (source: the spec files of Azure/azureml-assets before and
 * after `system_metadata`, and its validator).
 */
export function readFacts(spec: SpecFile): SpecFacts {
  const allowed = spec.take(['supportedComputes.inferenceComputes', 'inference_compute_allow_list'], asList);
  const recommended = spec.take(['SKU.inferenceRecommendedSkus', 'inference-recommended-sku'], asList);
  const enabled = spec.take(['platformCapabilities.enableBatch', 'enableBatch'], asFlag);
  const disabled = spec.take(['disable-batch'], asFlag);
  const hub = spec.take(['huggingface_model_id', 'model_id'], (value) => hubName(asText(value)));
  return {
    name: spec.take(['name'], asText),
    version: spec.take(['version'], asText),
    task: spec.take(['tasks.inferenceTasks', 'task'], (value) => bestTask(asList(value))),
    publisher: spec.take(['publisher', 'author'], asText),
    license: spec.take(['license'], (value) => spdx(asText(value))),
    languages: spec.take(['languages'], (value) => languageCodes(asList(value))),
    retired: spec.take(['deprecation.inferenceRetirementDate', 'InferenceRetirementDate'], (value) =>
      day(asText(value)),
    ),
    inputs: spec.take(['inputModalities'], (value) => asList(value)?.map((name) => name.toLowerCase())),
    contextTokens: spec.take(['textContextWindow'], asCount),
    maxOutputTokens: spec.take(['maxOutputTokens'], asCount),
    batch: enabled ?? (disabled === undefined ? undefined : { ...disabled, value: !disabled.value }),
    skus: allowed ?? recommended,
    leastSku: spec.take(['SKU.inferenceMinSkuSpec', 'inference-min-sku-spec'], asSkuSpec),
    engines: spec.take(['inferenceSupportedEnvs'], (value) => asList(value)?.map((name) => name.toLowerCase())),
    hubName: hub,
    revision: hub === undefined ? undefined : spec.take(['SHA'], (value) => commit(asText(value))),
  };
}

/** Tasks that a card can have, best first. If the file has none of them, its first one is used for the error. */
const TASKS = ['chat-completion', 'image-text-to-text', 'text-generation'];

function bestTask(tasks: readonly string[] | undefined): string | undefined {
  const spelled = tasks?.map((task) => task.toLowerCase().replace(/[ _]/g, '-').replace('completions', 'completion'));
  return TASKS.find((task) => spelled?.includes(task)) ?? spelled?.[0];
}

const LICENSES = ['MIT', 'Apache-2.0', 'CC-BY-4.0', 'CC-BY-NC-4.0', 'BSD-3-Clause'];

/** The old generation writes them in lower case. */
function spdx(license: string | undefined): string | undefined {
  return LICENSES.find((known) => known.toLowerCase() === license?.toLowerCase()) ?? license;
}

function languageCodes(languages: readonly string[] | undefined): string[] | undefined {
  const codes = languages?.map((language) => language.toLowerCase()).filter((language) => /^[a-z]{2}$/.test(language));
  return codes === undefined || codes.length === 0 ? undefined : codes;
}

function day(date: string | undefined): string | undefined {
  return date === undefined ? undefined : /^\d{4}-\d\d-\d\d/.exec(date)?.[0];
}

function hubName(text: string | undefined): string | undefined {
  return text !== undefined && /^[\w.-]+\/[\w.-]+$/.test(text) ? text : undefined;
}

function commit(text: string | undefined): string | undefined {
  return text !== undefined && /^[0-9a-f]{40}$/i.test(text) ? text.toLowerCase() : undefined;
}
