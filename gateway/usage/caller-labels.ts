/** Limit of the callers with a token that have a label of their own in this process: a tenant may have many members. */
const MOST_LABELS = 1_000;

/**
 * The label of a caller: its id. Beyond the limit, callers with a token share one label for each identity provider.
 * Ids of tokens have a colon, and ids of keys have none.
 */
export function callerLabels(): (id: string) => string {
  const known = new Set<string>();
  return (id) => {
    const colon = id.indexOf(':');
    if (colon < 0 || known.has(id)) return id;
    if (known.size >= MOST_LABELS) return `${id.slice(0, colon)}:other`;
    known.add(id);
    return id;
  };
}
