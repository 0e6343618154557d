import { LiveView } from '#contract/console';

/** An open `/console/live`. */
export interface OpenLiveView extends AsyncDisposable {
  readonly status: number;
  /** of an answer that is no stream */
  readonly refusal: unknown;
  readonly headers: Headers;
  /** all views so far */
  readonly views: readonly LiveView[];
  /** everything that was sent, as it was sent */
  text(): string;
  /** when the gateway has ended it */
  readonly ended: Promise<void>;
}

/** Opens the live view of a gateway, and reads it until it is disposed. */
export async function openLiveView(url: string, headers: Readonly<Record<string, string>>): Promise<OpenLiveView> {
  const gone = new AbortController();
  const answer = await fetch(`${url}/console/live`, { headers, signal: gone.signal });
  const views: LiveView[] = [];
  let text = '';
  const read = async (): Promise<void> => {
    let rest = '';
    for await (const bytes of answer.body ?? []) {
      const piece = Buffer.from(bytes).toString();
      text += piece;
      const events = (rest + piece).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events)
        if (event.startsWith('data: ')) views.push(LiveView.parse(JSON.parse(event.slice('data: '.length))));
    }
  };
  const ended = answer.ok ? read() : Promise.resolve();
  ended.catch(() => {});
  return {
    status: answer.status,
    refusal: answer.ok ? undefined : await answer.json(),
    headers: answer.headers,
    views,
    text: () => text,
    ended,
    async [Symbol.asyncDispose]() {
      gone.abort();
      await ended.catch(() => {});
    },
  };
}
