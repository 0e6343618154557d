import type { LookupAddress } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Webhook } from 'standardwebhooks';
import { addressesOf, connectTo } from '../images/fetch/checked-host.ts';
import { PacedConnection, type Judge } from '../images/fetch/paced-connection.ts';
import type { Network } from '../images/fetch/picture-host.ts';
import { eventId, renderEvent, type WebhookEvent } from './due-event.ts';

/** Time limit of one delivery in ms, from the name of the host to the end of the answer. */
const WITHIN_MS = 10_000;
/** Limit of the bytes of an answer. They are dropped: only the status counts. */
const MOST_BYTES = 64 * 1024;
/** The receiver wants no more. */
const GONE = 410;
const CODE = /^[A-Z][A-Z0-9_]{1,60}$/;

/** Where an event goes, and the secret that signs it. */
export interface Receiver {
  readonly url: string;
  readonly secret: string;
}

/** Why an event was not delivered, without any text of its receiver. */
export class Undelivered extends Error {
  /** trying again is useless */
  readonly isFinal: boolean;

  constructor(reason: string, isFinal = false) {
    super(reason);
    this.isFinal = isFinal;
  }
}

/** Delivers an event. A redirect is not followed, because it could lead elsewhere. @throws Undelivered */
export async function postEvent(event: WebhookEvent, receiver: Receiver, network: Network): Promise<void> {
  const signal = AbortSignal.timeout(WITHIN_MS);
  const status = await reach(event, receiver, network, signal).catch((cause: unknown) => {
    if (cause instanceof Undelivered) throw cause;
    throw new Undelivered(signal.aborted ? `no answer within ${WITHIN_MS} ms` : codeOf(cause));
  });
  if (status < 200 || status > 299) throw new Undelivered(`status ${status}`, status === GONE);
}

async function reach(event: WebhookEvent, receiver: Receiver, network: Network, signal: AbortSignal): Promise<number> {
  const url = new URL(receiver.url);
  const { addresses, isPermitted, isNamed } = await addressesOf(url, network, signal);
  if (!isPermitted) throw new Undelivered('its address or port is not allowed');
  if (url.protocol !== 'https:' && !isNamed) throw new Undelivered('its URL is not https');
  const [body, id, now] = [renderEvent(event), eventId(event.answer), new Date()];
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'user-agent': 'penstock',
    'webhook-id': id,
    'webhook-timestamp': Math.floor(now.getTime() / 1_000),
    'webhook-signature': new Webhook(receiver.secret).sign(id, now, body),
  };
  return await post(url, addresses, { headers, body, signal }, network);
}

/** @returns the status, also if the rest of the answer does not arrive */
function post(
  url: URL,
  addresses: readonly LookupAddress[],
  { headers, body, signal }: { headers: Record<string, string | number>; body: string; signal: AbortSignal },
  { pace }: Network,
): Promise<number> {
  const judge: Judge = (passedBytes) =>
    passedBytes > MOST_BYTES ? new Undelivered('its answer is too long') : 'go on';
  return new Promise((resolve, reject) => {
    let status: number | undefined;
    const over = (cause: unknown): void => (status === undefined ? reject(cause) : resolve(status));
    const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const createConnection = (): PacedConnection => new PacedConnection(connectTo(url, addresses), pace, judge);
    const sent = request(url, { method: 'POST', headers, signal, createConnection });
    sent.once('response', (answer) => {
      status = answer.statusCode;
      answer.on('error', over).once('close', over).resume();
    });
    // It stays, because a connection can break again after the answer has begun.
    sent.on('error', over);
    sent.once('close', () => over(new Undelivered('it closed the connection')));
    sent.end(body);
  });
}

function codeOf(cause: unknown): string {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && CODE.test(code) ? code : 'unknown';
}
