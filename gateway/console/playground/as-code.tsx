import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { CopyButton } from '../copy-button.tsx';
import type { ChatBody } from './conversation.ts';
import { snippetsOf, type Snippet } from './snippets.ts';

/** The request as programs send it. */
export function AsCode({
  body,
  task,
  keys,
}: {
  body: ChatBody | undefined;
  task: string;
  keys: boolean;
}): VNode | null {
  const [chosen, setChosen] = useState<Snippet['id']>('curl');
  const [isOpen, setOpen] = useState(false);
  const snippets = useMemo(
    () => (body === undefined || !isOpen ? [] : snippetsOf(body, { origin: location.origin, keys, task })),
    [body, isOpen, task, keys],
  );
  const shown = snippets.find(({ id }) => id === chosen);
  return (
    <details class="card code" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>This request as code</summary>
      {shown === undefined ? null : (
        <>
          <div class="choices" role="group" aria-label="Language">
            {snippets.map(({ id, title }) => (
              <button key={id} type="button" class="quiet" aria-pressed={id === chosen} onClick={() => setChosen(id)}>
                {title}
              </button>
            ))}
            <CopyButton text={shown.code} what="the code" />
          </div>
          <pre tabIndex={0} role="region" aria-label={`The request: ${shown.title}`}>
            <code>{shown.code}</code>
          </pre>
          <p class="hint">
            {keys ? 'The key is the variable PENSTOCK_KEY of the environment. ' : ''}
            {shown.code.includes('picture.') ? 'Save the picture in the file that the code names.' : ''}
          </p>
        </>
      )}
    </details>
  );
}
