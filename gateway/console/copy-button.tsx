import type { VNode } from 'preact';
import { useState } from 'preact/hooks';

/** Copies a text, and says so. */
export function CopyButton({ text, what }: { text: string; what: string }): VNode {
  const [done, setDone] = useState<{ text: string; fine: boolean }>();
  const copy = async (): Promise<void> => {
    // Browsers have no clipboard for pages that came by plain HTTP from another machine.
    const fine = await Promise.resolve(navigator.clipboard?.writeText(text)).then(
      () => navigator.clipboard !== undefined,
      () => false,
    );
    setDone({ text, fine });
  };
  const said = done?.text !== text ? 'Copy' : done.fine ? 'Copied' : 'Select the text to copy it';
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      {said}
      <span class="unseen"> {what}</span>
    </button>
  );
}
