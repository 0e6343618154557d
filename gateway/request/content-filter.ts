/** How harmful a text or picture is, in the words of Azure OpenAI's answers. */
export type Severity = 'safe' | 'low' | 'medium' | 'high';

/** What a content filter found, by category, such as `hate`. */
export type FilterResults = Readonly<
  Record<string, { readonly filtered: boolean; readonly severity?: Severity | undefined }>
>;

/** What a content filter says about a prompt, or about an answer. */
export interface Verdict {
  readonly isBlocked: boolean;
  readonly results: FilterResults;
  /** the filter failed, and the operator lets requests pass then */
  readonly isUnchecked?: true;
}

export const PASSED: Verdict = { isBlocked: false, results: {} };

const ORDER: readonly (Severity | undefined)[] = [undefined, 'safe', 'low', 'medium', 'high'];

/** The verdict on a whole, from those on its parts: the worst of each category. */
export function joined(verdicts: readonly Verdict[]): Verdict {
  const results: Record<string, FilterResults[string]> = {};
  for (const [category, found] of verdicts.flatMap((one) => Object.entries(one.results))) {
    const before = results[category];
    const isWorse = before === undefined || ORDER.indexOf(found.severity) > ORDER.indexOf(before.severity);
    results[category] = {
      filtered: found.filtered || before?.filtered === true,
      ...(isWorse ? severityOf(found) : severityOf(before)),
    };
  }
  return {
    isBlocked: verdicts.some((one) => one.isBlocked),
    results,
    ...(verdicts.some((one) => one.isUnchecked === true) ? { isUnchecked: true } : {}),
  };
}

function severityOf({ severity }: FilterResults[string]): { readonly severity?: Severity } {
  return severity === undefined ? {} : { severity };
}

/** In Azure OpenAI's form; it says so there if a text was not filtered (source: Azure OpenAI, "Content filtering"). */
export function filterResults({ results, isUnchecked }: Verdict): object {
  return isUnchecked === true
    ? { ...results, error: { code: 'content_filter_error', message: 'The contents are not filtered' } }
    : results;
}
