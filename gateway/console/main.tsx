import { render } from 'preact';
import { App } from './app.tsx';
import { LiveFeed } from './live/live-feed.ts';
import { Playground } from './playground/playground.ts';
import { Session } from './session.ts';

const session = new Session();
const page = document.getElementById('app');
const parts = { session, playground: new Playground(session.gateway), live: new LiveFeed(session.gateway) };
void session.load();
if (page !== null) {
  page.replaceChildren();
  render(<App {...parts} />, page);
}
