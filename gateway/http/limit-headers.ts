import type { LimitName, Standing } from '../limits/limits.ts';

/** Name, unit and window in seconds of each limit, as `RateLimit-Policy` has them. */
const POLICIES: Readonly<Record<LimitName, { readonly name: string; readonly unit: string; readonly window: number }>> =
  {
    requests_per_minute: { name: 'requests', unit: 'requests', window: 60 },
    tokens_per_minute: { name: 'tokens', unit: 'tokens', window: 60 },
    tokens_per_day: { name: 'tokens-day', unit: 'tokens', window: 86_400 },
  };

/**
 * The state of a key's limits, as OpenAI sends it and as draft-ietf-httpapi-ratelimit-headers-11 defines it. OpenAI's
 * headers have one limit of tokens: that of the minute, or that of the day if there is no other.
 */
export function limitHeaders(standings: readonly Standing[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const { limit, allowed, remaining, resetMs } of standings) {
    const { unit } = POLICIES[limit];
    if (`x-ratelimit-limit-${unit}` in headers) continue;
    headers[`x-ratelimit-limit-${unit}`] = String(allowed);
    headers[`x-ratelimit-remaining-${unit}`] = String(remaining);
    headers[`x-ratelimit-reset-${unit}`] = durationOf(resetMs);
  }
  const policies = standings.map(({ limit, allowed }) => {
    const { name, unit, window } = POLICIES[limit];
    return `"${name}";q=${allowed}${unit === 'requests' ? '' : `;qu="${unit}"`};w=${window}`;
  });
  const states = standings.map(
    ({ limit, remaining, resetMs }) => `"${POLICIES[limit].name}";r=${remaining};t=${Math.ceil(resetMs / 1_000)}`,
  );
  return { ...headers, 'ratelimit-policy': policies.join(', '), ratelimit: states.join(', ') };
}

/** As OpenAI writes it, such as `6s` or `1m2s`; rounded up, so that no caller comes too early. */
function durationOf(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)];
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${seconds % 60}s`;
}
