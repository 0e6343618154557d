import { createLog } from '#runtime/log';

/** For parts whose log lines are not under test. */
export const silentLog = createLog('test', 'silent');
