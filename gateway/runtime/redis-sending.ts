import { Socket } from 'node:net';
import type { Command, Redis } from 'ioredis';

/**
 * Changes how a connection sends. Commands of one turn of the event loop share one write to the socket. A write each costs more
 * than the commands. A command whose timeout passed is not sent again after a reconnect: its caller already got an error.
 */
export function sendInTurns(redis: Redis): void {
  const send = redis.sendCommand.bind(redis);
  let isCorked = false;
  const cork = (): void => {
    const { stream } = redis;
    // Absent before the first connection.
    if (isCorked || !(stream instanceof Socket)) return;
    isCorked = true;
    stream.cork();
    setImmediate(() => {
      isCorked = false;
      stream.uncork();
    });
  };
  redis.sendCommand = (command: Command, stream?: Parameters<Redis['sendCommand']>[1]): unknown => {
    if (command.isSettled) return command.promise;
    cork();
    return send(command, stream);
  };
}
