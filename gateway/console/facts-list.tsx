import type { VNode } from 'preact';

/** Names and values; one without a value is left out. */
export function FactsList({
  facts,
}: {
  facts: readonly (readonly [name: string, value: string | undefined])[];
}): VNode {
  return (
    <dl class="facts">
      {facts.map(([name, value]) =>
        value === undefined ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}
