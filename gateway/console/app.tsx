import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ConsoleSession } from '#contract/console';
import { KeyForm } from './key-form.tsx';
import type { LiveFeed } from './live/live-feed.ts';
import { LivePage } from './live/live-page.tsx';
import { ModelsPage } from './models-page.tsx';
import { PlaygroundPage } from './playground/playground-page.tsx';
import type { Playground } from './playground/playground.ts';
import { RefusalBox } from './refusal-box.tsx';
import { PAGES, pageOf, type PageId } from './route.ts';
import type { Session } from './session.ts';
import { ThemeSwitch } from './theme-switch.tsx';
import { UsagePage } from './usage-page.tsx';
import { useWatched } from './use-watched.ts';

export interface Parts {
  readonly session: Session;
  readonly playground: Playground;
  readonly live: LiveFeed;
}

export function App(parts: Parts): VNode {
  const { session } = parts;
  const state = useWatched(session.state);
  const page = usePage();
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/playground">
          Penstock
        </a>
        <nav aria-label="Pages">
          {PAGES.map(({ id, title }) => (
            <a key={id} href={`#/${id}`} aria-current={id === page ? 'page' : undefined}>
              {title}
            </a>
          ))}
          <a href="/docs">API reference</a>
        </nav>
        <div class="tools">
          {state.kind === 'open' ? <KeyState parts={parts} of={state.session} /> : null}
          <ThemeSwitch />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <Content parts={parts} page={page} />
      </main>
      <footer>{state.kind === 'open' ? `Penstock ${state.session.version}` : 'Penstock'}</footer>
    </>
  );
}

function Content({ parts, page }: { parts: Parts; page: PageId }): VNode {
  const { session, playground, live } = parts;
  const state = useWatched(session.state);
  if (state.kind === 'loading')
    return (
      <p class="empty" role="status">
        Asking the gateway …
      </p>
    );
  if (state.kind === 'asking') return <KeyForm session={session} note={state.note} />;
  if (state.kind === 'failed')
    return (
      <div class="card narrow">
        <h1>Penstock</h1>
        <RefusalBox refusal={state.refusal} />
        <button type="button" onClick={() => void session.load()}>
          Try again
        </button>
        {session.gateway.hasKey ? (
          <button type="button" class="quiet" onClick={() => session.forgetKey()}>
            Use another key
          </button>
        ) : null}
      </div>
    );
  switch (page) {
    case 'playground':
      return <PlaygroundPage playground={playground} keys={state.session.keys} />;
    case 'live':
      return <LivePage live={live} operate={state.session.operate} />;
    case 'models':
      return <ModelsPage playground={playground} />;
    case 'usage':
      return <UsagePage gateway={session.gateway} of={state.session} />;
  }
}

function KeyState({ parts, of }: { parts: Parts; of: ConsoleSession }): VNode | null {
  if (!of.keys) return null;
  const forget = (): void => {
    parts.session.forgetKey();
    parts.playground.forget();
    parts.live.forget();
  };
  return (
    <>
      <span class="key" title="id of your key">
        {of.keyId}
      </span>
      <button type="button" class="quiet" onClick={forget}>
        Forget key
      </button>
    </>
  );
}

/** The page that the address names; its title, and its start at the top. */
function usePage(): PageId {
  const [page, setPage] = useState(pageOf(location.hash));
  useEffect(() => {
    const change = (): void => setPage(pageOf(location.hash));
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  useEffect(() => {
    document.title = `${PAGES.find(({ id }) => id === page)?.title ?? ''} · Penstock`;
    scrollTo(0, 0);
  }, [page]);
  return page;
}

/** Not by its address, which would name no page. */
function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}
