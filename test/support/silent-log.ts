import { createLog } from '#runtime/log';

/** For parts under test whose log lines are not the subject. */
export const silentLog = createLog('test', 'silent');
