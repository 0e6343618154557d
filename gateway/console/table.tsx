import type { ComponentChildren, VNode } from 'preact';

/** A column: its title, and whether it has numbers. */
export type Column = string | { readonly number: string };

/** A table that scrolls inside its box, so that the page does not scroll sideways. */
export function Table({
  caption,
  columns,
  children,
  foot,
}: {
  caption: string;
  columns: readonly Column[];
  children: ComponentChildren;
  foot?: ComponentChildren;
}): VNode {
  return (
    <div class="scroll" role="region" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) =>
              typeof column === 'string' ? (
                <th key={column} scope="col">
                  {column}
                </th>
              ) : (
                <th key={column.number} scope="col" class="number">
                  {column.number}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
        {foot === undefined ? null : <tfoot>{foot}</tfoot>}
      </table>
    </div>
  );
}
