import { useLayoutEffect, useState } from 'preact/hooks';
import type { Watched } from './watched.ts';

/** The value of a `Watched`; the component is drawn again when it changes. */
export function useWatched<T>(watched: Watched<T>): T {
  const [, draw] = useState(0);
  const { value } = watched;
  useLayoutEffect(() => {
    const redraw = (): void => draw((count) => count + 1);
    // It may have changed since it was drawn.
    if (watched.value !== value) redraw();
    return watched.follow(redraw);
  }, [watched]);
  return value;
}
