import type { VNode } from 'preact';
import { useRef } from 'preact/hooks';
import type { Session } from './session.ts';

/** Asks for the caller's key. */
export function KeyForm({ session, note }: { session: Session; note: string | undefined }): VNode {
  const field = useRef<HTMLInputElement>(null);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const key = field.current?.value ?? '';
    if (field.current !== null) field.current.value = '';
    void session.useKey(key);
  };
  return (
    <form class="card narrow" onSubmit={submit}>
      <h1>Key</h1>
      <p>This gateway asks for a key. Enter a key of Penstock, or a token of your identity provider.</p>
      <label for="key">Key or token</label>
      <input
        id="key"
        ref={field}
        type="password"
        autocomplete="off"
        spellcheck={false}
        required
        autofocus
        aria-describedby="key-note"
        aria-invalid={note === undefined ? undefined : true}
      />
      <p id="key-note" role="alert" class="wrong">
        {note ?? ''}
      </p>
      <button type="submit">Use this key</button>
      <p class="hint">
        The page keeps it in the memory of this tab alone. A reload forgets it. No key? An operator makes one with{' '}
        <code>penstock keys create</code>.
      </p>
    </form>
  );
}
