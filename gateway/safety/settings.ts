import { z } from 'zod';
import { setting } from '#runtime/settings';

const SEVERITY = 'each must be CATEGORY=SEVERITY: hate, self_harm, sexual or violence, and 0 to 7, such as hate=4';

function isBare(url: string): boolean {
  const { username, password } = URL.canParse(url) ? new URL(url) : { username: '', password: '' };
  return username === '' && password === '';
}

/** Settings of the content filter. */
export const SAFETY_SETTINGS = {
  /** service that judges prompts and answers: `off`, `azure` (Azure AI Content Safety) or `webhook` (your own) */
  GATEWAY_SAFETY_PROVIDER: z.enum(['off', 'azure', 'webhook']).default('off'),
  /** its URL: the endpoint of the Azure resource, or of the webhook */
  GATEWAY_SAFETY_URL: z
    .url({ protocol: /^https?$/, error: 'takes an http(s) URL' })
    .refine(isBare, 'takes no user and no password; GATEWAY_SAFETY_KEY takes the key')
    .optional(),
  /** key of the Azure resource, or the secret (`whsec_…`) that signs what the webhook gets */
  GATEWAY_SAFETY_KEY: z.string().optional(),
  /** file with that key or secret, instead of the above */
  GATEWAY_SAFETY_KEY_FILE: z.string().optional(),
  /** file with an Entra token for the Azure resource, instead of a key; read again each minute */
  GATEWAY_SAFETY_TOKEN_FILE: z.string().optional(),
  /** what is judged: `prompt`, `answer` or both */
  GATEWAY_SAFETY_CHECKS: setting.list
    .pipe(z.array(z.enum(['prompt', 'answer'])).min(1, 'takes prompt, answer, or both'))
    .default(['prompt', 'answer']),
  /** `category=severity,…` for Azure: what is more severe is blocked, from 0 to 7; the others of `hate`, `self_harm`, `sexual`, `violence` have 2 */
  GATEWAY_SAFETY_SEVERITIES: setting.list
    .pipe(z.array(z.string().regex(/^(hate|self_harm|sexual|violence)\s*=\s*[0-7]$/, SEVERITY)))
    .transform((items) =>
      Object.fromEntries(items.map((item) => item.split('=')).map(([name = '', most]) => [name.trim(), Number(most)])),
    )
    .default({}),
  /** what becomes of content that the service does not judge: 503 (`closed`), or it passes unchecked (`open`) */
  GATEWAY_SAFETY_ON_FAILURE: z.enum(['closed', 'open']).default('closed'),
  /** timeout for one verdict, including the wait for a free slot */
  GATEWAY_SAFETY_TIMEOUT_MS: setting.milliseconds.default(5_000),
  /** limit of questions to the service at a time in one replica; one key gets a quarter */
  GATEWAY_SAFETY_LIMIT_CHECKS: setting.count.default(64),
  /** characters at the end of a streamed answer that its client does not get before what follows is judged */
  GATEWAY_SAFETY_WINDOW: setting.countUpTo(4_000).default(200),
};
