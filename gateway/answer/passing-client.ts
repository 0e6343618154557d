import type { ClientStream } from './client-stream.ts';
import type { Rendered } from './renderers.ts';

/** A client before another one, which gets all but what is written. */
export abstract class PassingClient implements ClientStream {
  /** what it passes goes there */
  readonly client: ClientStream;

  constructor(client: ClientStream) {
    this.client = client;
  }

  get isBegun(): boolean {
    return this.client.isBegun;
  }
  get isGone(): boolean {
    return this.client.isGone;
  }
  get unsentBytes(): number {
    return this.client.unsentBytes;
  }

  send(answer: Rendered): void {
    this.client.send(answer);
  }

  abstract write(piece: Buffer | string): void;

  end(last?: string): void {
    this.client.end(last);
  }

  cut(last: string): void {
    this.client.cut(last);
  }

  giveUp(): void {
    this.client.giveUp();
  }
}
