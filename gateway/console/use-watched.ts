import { useEffect, useState } from 'preact/hooks';
import type { Watched } from './watched.ts';

/** The value of a `Watched`; the component is drawn again when it changes. */
export function useWatched<T>(watched: Watched<T>): T {
  const [, draw] = useState(0);
  useEffect(() => watched.follow(() => draw((count) => count + 1)), [watched]);
  return watched.value;
}
