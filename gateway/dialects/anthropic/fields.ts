import { z } from 'zod';
import * as form from '../reading/field-forms.ts';
import { listOf, textOf } from '../reading/limited.ts';
import { LIMITS } from '../reading/limits.ts';
import type { Inside } from '../reading/message-fields.ts';
import type { Column, Verdict } from '../reading/request-fields.ts';

/**
 * Versions that Anthropic's SDKs have sent (source: `@anthropic-ai/sdk` 0.137 and 1.14); Penstock's fields have the
 * same form in both. Streams of the version before had no named events. The form of later versions is unknown.
 */
export const VERSIONS: readonly unknown[] = ['2023-06-01', '2026-10-21'];

/** The verdict on each field (source: the types of `@anthropic-ai/sdk` 1.14); others are ignored and named. */

const own = { kind: 'own' } as const;
const ignored = (why: string) => ({ kind: 'ignored', why }) as const;
const refused = (why: string) => ({ kind: 'refused', why }) as const;

const BY_KEY = 'the key identifies the caller';
const CACHED = ignored('equal beginnings of prompts are cached without it, separately for each key');
const NO_THOUGHTS: Verdict = {
  kind: 'fixed',
  field: { schema: z.object({ type: z.literal('disabled') }), form: '{"type": "disabled"}' },
  why: 'the models here do not think before they answer',
};

const INPUT: readonly (readonly [name: string, verdict: Verdict])[] = [
  ['messages', own],
  ['system', own],
  ['model', own],
  ['tools', own],
  ['tool_choice', own],
  ['thinking', NO_THOUGHTS],
  ['cache_control', CACHED],
  ['user_profile_id', ignored(BY_KEY)],
  ['workspace_id', ignored(BY_KEY)],
  ['speed', ignored('there is only one speed')],
  ['output_config', refused('send response_format to /v1/chat/completions')],
  ['context_management', refused('the gateway never shortens a conversation')],
  ['mcp_servers', refused('there are no tools of a server; the caller runs all tools')],
];

export const COUNT_FIELDS: Column = new Map(INPUT);

export const MESSAGE_FIELDS: Column = new Map<string, Verdict>([
  ...INPUT,
  ['max_tokens', own],
  ['stream', own],
  ['temperature', { kind: 'served', field: form.range(0, 1) }],
  ['top_p', { kind: 'served', field: form.SHARE }],
  ['top_k', { kind: 'served', field: form.atLeast(0) }],
  [
    'stop_sequences',
    { kind: 'own', field: form.field(listOf(LIMITS.stop, textOf(LIMITS.stopText)), 'a list of texts') },
  ],
  ['metadata', ignored(BY_KEY)],
  ['service_tier', ignored('there is only one tier')],
  ['diagnostics', ignored('the gateway reports nothing about caches')],
  ['container', refused('there are no containers')],
  ['inference_geo', refused('a request cannot choose the location of an engine')],
]);

/** Fields of a block of a message or of `system`; others are ignored and named. */
export const BLOCK: Inside = {
  type: own,
  text: own,
  source: own,
  id: own,
  name: own,
  input: own,
  tool_use_id: own,
  content: own,
  cache_control: CACHED,
  citations: ignored('marks in an earlier answer are no part of its text'),
};
