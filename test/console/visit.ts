import type { BrowserContext, Locator, Page } from 'playwright-core';
import { z } from 'zod';
import type { Stand } from './stand.ts';

export type Theme = 'light' | 'dark';
export interface Look {
  readonly theme: Theme;
  readonly width: number;
  readonly height: number;
}
export const DESKTOP: Look = { theme: 'light', width: 1440, height: 900 };
const States = z.array(z.tuple([z.string(), z.number()]));
/** A refusal that the page shows is an error to Chromium. */
const REFUSED = /^Failed to load resource: the server responded with a status of 4\d\d /;
/** Notes each state of an answer, because a busy browser may be too late to see one. */
const WATCH_ANSWERS = `globalThis.states = []; new MutationObserver(() => {
  const last = [...document.querySelectorAll('[data-state]')].at(-1);
  if (last !== undefined) globalThis.states.push([last.dataset.state, last.innerText.length]);
}).observe(document, { attributes: true, childList: true, subtree: true, characterData: true })`;
/** Longest wait for what the page should show, in milliseconds, on a busy machine. */
const PATIENCE_MS = 30_000;

/** A tab on the console. It notes what must not happen: errors, and requests to other hosts. */
export class Visit implements AsyncDisposable {
  readonly page: Page;
  readonly #context: BrowserContext;
  readonly #problems: string[] = [];
  /** paths of the POST requests so far */
  readonly posts: string[] = [];

  private constructor(context: BrowserContext, page: Page, origin: string) {
    this.#context = context;
    this.page = page;
    page.on('pageerror', (error) => this.#problems.push(`error: ${error.message}`));
    page.on('console', (message) => {
      // A style or script that the policy refuses is such an error.
      if (message.type() === 'error' && !REFUSED.test(message.text())) this.#problems.push(message.text());
    });
    context.on('request', (request) => {
      const url = new URL(request.url());
      if (request.method() === 'POST') this.posts.push(url.pathname);
      if (url.origin !== origin && !['data:', 'blob:'].includes(url.protocol))
        this.#problems.push(`a request to ${url.host}`);
    });
  }

  static async open(stand: Stand, url: string, look = DESKTOP, beforeLoad = WATCH_ANSWERS): Promise<Visit> {
    const { width, height, theme } = look;
    const context = await stand.browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      reducedMotion: 'reduce',
    });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.addInitScript({ content: beforeLoad });
    const visit = new Visit(context, page, new URL(url).origin);
    await page.goto(url);
    return visit;
  }

  /** Fails if anything happened that must not. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
    if (this.#problems.length > 0) throw new Error(this.#problems.join('\n'));
  }

  async goTo(title: string): Promise<void> {
    await this.page.getByRole('navigation').getByRole('link', { name: title }).click();
    await this.page.getByRole('heading', { name: title, level: 1 }).waitFor({ state: 'attached' });
  }

  async enterKey(key: string): Promise<void> {
    await this.page.getByLabel('Key or token').fill(key);
    await this.page.getByRole('button', { name: 'Use this key' }).click();
  }

  /** Sends a question from the keyboard. @returns its answer */
  async ask(question: string): Promise<Locator> {
    const before = await this.answers.count();
    await this.page.getByLabel('Question', { exact: true }).fill(question);
    await this.page.keyboard.press('Enter');
    return this.answers.nth(before);
  }

  get answers(): Locator {
    return this.page.getByRole('article', { name: 'Answer' });
  }

  /** How many lengths the text of an answer had while it came. */
  async stepsOfAnswer(): Promise<number> {
    const states = States.parse(await this.page.evaluate('globalThis.states'));
    return new Set(states.filter(([state]) => state === 'streaming').map(([, length]) => length)).size;
  }

  /** Drops files on the page, as a mouse does. @param files base64 by name; each is of type image/png */
  async drop(files: Readonly<Record<string, string>>): Promise<void> {
    const made = Object.entries(files).map(
      ([name, base64]) =>
        `data.items.add(new File([Uint8Array.from(atob('${base64}'), (c) => c.charCodeAt(0))], '${name}', { type: 'image/png' }))`,
    );
    const dataTransfer = await this.page.evaluateHandle(
      `(() => { const data = new DataTransfer(); ${made.join('; ')}; return data; })()`,
    );
    await this.page.dispatchEvent('main', 'drop', { dataTransfer });
  }
}

export async function isIn(answer: Locator, state: string): Promise<void> {
  await answer.and(answer.page().locator(`[data-state="${state}"]`)).waitFor();
}
