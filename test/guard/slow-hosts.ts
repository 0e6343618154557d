import { eventually } from '../support/eventually.ts';
import { AFTER_SUCCESS, BEFORE_SUCCESS } from '../support/hostile-hosts.ts';
import { milliseconds, must, type Check } from './check.ts';
import { LIMITS, pictureQuestion, type Stand } from './stand.ts';

const MUTE = 40;
const HONEST = 20;
/** Tolerance for a busy machine. */
const BUSY_MS = 6_000;

async function slowest(stand: Stand): Promise<number> {
  const { port } = stand.host;
  const fetches = Array.from({ length: HONEST }, async (_, n) => {
    const name = n % 2 === 0 ? 'well.test' : 'localhost';
    const { status, tookMs } = await stand.ask(pictureQuestion(`http://${name}:${port}/picture.png`)).ended;
    must(status === 200, `an honest fetch was answered ${status}`);
    return tookMs;
  });
  return Math.max(...(await Promise.all(fetches)));
}

async function muteNames(stand: Stand): Promise<string> {
  await slowest(stand);
  const alone = await slowest(stand);
  const before = stand.names.asked.length;
  const mute = Array.from({ length: MUTE }, (_, n) =>
    stand.ask(pictureQuestion(`http://mute-${n}.test/a.png`), 'hostile'),
  );
  const asked = (): number =>
    new Set(stand.names.asked.slice(before).filter((question) => question.startsWith('A mute-'))).size;
  await eventually('all are being resolved', () => asked() === MUTE, LIMITS.pictureMs);
  const beside = await slowest(stand);
  const outcomes = await Promise.all(mute.map(({ ended }) => ended));
  const longest = Math.max(...outcomes.map(({ tookMs }) => tookMs));
  const figure = `slowest of ${HONEST} honest fetches: ${milliseconds(alone)} alone, ${milliseconds(beside)} beside; the mute ones ended after ${milliseconds(longest)}`;
  must(beside - alone < 1_000, figure);
  must(longest < LIMITS.pictureMs + BUSY_MS, figure);
  must(
    outcomes.every(({ status }) => status === 400),
    'a mute name was not answered 400',
  );
  return figure;
}

async function endlessHosts(stand: Stand): Promise<string> {
  const paths = Object.keys({ ...BEFORE_SUCCESS, ...AFTER_SUCCESS }).filter((path) => /endless|slow|silen/.test(path));
  const asked = paths.map((path) => stand.ask(pictureQuestion(stand.host.at(path)), 'hostile').ended);
  const beside = await slowest(stand);
  const longest = Math.max(...(await Promise.all(asked)).map(({ tookMs }) => tookMs));
  await eventually('no connection is left', () => stand.host.open.size === 0);
  const figure = `${paths.length} hosts: the last ended after ${milliseconds(longest)}; an honest fetch beside them took ${milliseconds(beside)}`;
  must(longest < LIMITS.pictureMs + BUSY_MS, figure);
  return figure;
}

async function leavers(stand: Stand): Promise<string> {
  const asked = Array.from({ length: MUTE }, () => stand.ask(pictureQuestion(stand.host.at('/silence')), 'hostile'));
  await eventually('all fetches run', () => stand.host.open.size === MUTE, LIMITS.pictureMs);
  const left = Math.max(...asked.map((one) => one.leave('close')));
  await eventually('all connections are closed', () => stand.host.open.size === 0);
  return `${MUTE} fetches ended ${milliseconds(performance.now() - left)} after their clients left`;
}

export const SLOW_HOSTS: readonly Check[] = [
  { row: 'N1', name: 'host names that never resolve', sent: `${MUTE} picture URLs`, run: muteNames },
  { row: 'N1', name: 'picture hosts that never finish', sent: 'a picture URL of each kind', run: endlessHosts },
  {
    row: 'N1',
    name: 'clients that leave while their picture is fetched',
    sent: `${MUTE} of them`,
    run: leavers,
  },
];
