// @ts-check
/** Loaded with `--import` into a server that has no setting for its host, it binds every port to loopback only. */
import { Server } from 'node:net';

const listen = Reflect.get(Server.prototype, 'listen');
/**
 * @this {Server}
 * @param {unknown} first the port, or an object with it
 * @param {unknown[]} more
 */
function listenOnLoopback(first, ...more) {
  const callback = more.findLast((one) => typeof one === 'function');
  const options = { ...(typeof first === 'object' ? first : { port: first }), host: '127.0.0.1' };
  return Reflect.apply(listen, this, callback === undefined ? [options] : [options, callback]);
}
Reflect.set(Server.prototype, 'listen', listenOnLoopback);
