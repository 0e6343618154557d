import type { VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { bytes } from '../format.ts';
import { useWatched } from '../use-watched.ts';
import { PICTURE_TYPES } from './pictures.ts';
import type { Playground } from './playground.ts';

/** Where a question is written, and pictures are dropped, pasted or chosen. */
export function Composer({ playground }: { playground: Playground }): VNode {
  const { text, pictures, note, model, turns } = useWatched(playground.state);
  const isOver = useDroppedFiles(playground);
  const [isRunning, problem] = [playground.isRunning, playground.problem];
  const question = useRef<HTMLTextAreaElement>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    void playground.send();
    question.current?.focus();
  };
  return (
    <form class={`composer card${isOver ? ' over' : ''}`} onSubmit={submit} aria-label="New question">
      <label for="question">Question</label>
      <textarea
        id="question"
        ref={question}
        rows={3}
        value={text}
        placeholder="Enter sends, Shift and Enter begin a new line"
        onInput={(event) => playground.write({ text: event.currentTarget.value })}
        onPaste={(event) => {
          const files = [...(event.clipboardData?.files ?? [])];
          if (files.length === 0) return;
          event.preventDefault();
          void add(playground, files);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event);
        }}
      />
      {pictures.length === 0 ? null : (
        <ul class="held" aria-label="Pictures of this question">
          {pictures.map(({ name, bytes: size, dataUri }, index) => (
            <li key={index}>
              <img src={dataUri} alt={`picture ${name}`} /> {name}, {bytes(size)}
            </li>
          ))}
        </ul>
      )}
      <p class="note" role="status">
        {note}
      </p>
      <div class="actions">
        {isRunning ? (
          <button type="button" class="stop" onClick={() => playground.stop()}>
            Stop
          </button>
        ) : (
          <button type="submit" disabled={problem !== undefined} aria-describedby="problem">
            Send
          </button>
        )}
        <PictureButton playground={playground} isOff={model?.images === 0} />
        {pictures.length === 0 ? null : (
          <button type="button" class="quiet" onClick={() => playground.removePictures()}>
            Remove picture
          </button>
        )}
        {turns.length === 0 ? null : (
          <button type="button" class="quiet" onClick={() => playground.clear()}>
            Clear
          </button>
        )}
        <span id="problem" class="hint">
          {isRunning ? '' : (problem ?? '')}
        </span>
      </div>
    </form>
  );
}

function PictureButton({ playground, isOff }: { playground: Playground; isOff: boolean }): VNode {
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="quiet" disabled={isOff} onClick={() => chooser.current?.click()}>
        Choose a picture
      </button>
      <input
        ref={chooser}
        class="unseen"
        type="file"
        tabIndex={-1}
        aria-label="Picture file"
        accept={PICTURE_TYPES.join(',')}
        multiple
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          // The same file can be chosen again.
          currentTarget.value = '';
          void add(playground, files);
        }}
      />
    </>
  );
}

/** Files may be dropped anywhere on the page: a browser would open one that misses a field. */
function useDroppedFiles(playground: Playground): boolean {
  const [isOver, setOver] = useState(false);
  useLayoutEffect(() => {
    const over = (event: DragEvent): void => {
      if (event.dataTransfer?.types.includes('Files') !== true) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent): void => {
      const files = [...(event.dataTransfer?.files ?? [])];
      setOver(false);
      if (files.length === 0) return;
      event.preventDefault();
      void add(playground, files);
    };
    const ends = new AbortController();
    const { signal } = ends;
    document.addEventListener('dragover', over, { signal });
    document.addEventListener('dragleave', leave, { signal });
    document.addEventListener('drop', drop, { signal });
    return () => ends.abort();
  }, [playground]);
  return isOver;
}

function add(playground: Playground, files: readonly File[]): Promise<void> {
  return playground.addPictures(files, dataUriOf);
}

function dataUriOf(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      if (typeof reader.result === 'string') resolve(reader.result);
      else reject(new Error('the file is no text'));
    };
    reader.onerror = () => reject(reader.error ?? new Error('the file cannot be read'));
    reader.readAsDataURL(file);
  });
}
