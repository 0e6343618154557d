import { spawn } from 'node:child_process';
import { once } from 'node:events';

const NOBODY = 65_534;

/** Only root can become another user. */
export const mayBeAnother = process.getuid?.() === 0;

/** @returns the result for another user's process that calls a unix socket: an error code, or `connected` */
export async function calledByAnother(socket: string): Promise<string> {
  const script = `require('net').connect(process.argv[1]).on('error', ({ code }) => console.log(code)).on('connect', () => { console.log('connected'); process.exit(); })`;
  const child = spawn(process.execPath, ['-e', script, socket], { uid: NOBODY, gid: NOBODY, cwd: '/' });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += String(chunk)));
  await once(child, 'close');
  return said.trim();
}
