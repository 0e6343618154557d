import { render } from 'preact';
import { App } from './app.tsx';
import { LiveFeed } from './live/live-feed.ts';
import { Playground } from './playground/playground.ts';
import { Session } from './session.ts';

const session = new Session();
const page = document.getElementById('app');
const parts = { session, playground: new Playground(session.gateway), live: new LiveFeed(session.gateway) };
let keyId: string | undefined;
session.state.follow(() => {
  const { value } = session.state;
  if (value.kind !== 'open') return;
  // The next caller must not see the conversation of the one before, whose key ended.
  if (keyId !== undefined && value.session.keyId !== keyId) {
    parts.playground.forget();
    parts.live.forget();
  }
  keyId = value.session.keyId;
});
void session.load();
if (page !== null) {
  page.replaceChildren();
  render(<App {...parts} />, page);
}
