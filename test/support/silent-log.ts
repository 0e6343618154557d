import { createAudit } from '#runtime/audit';
import { createLog } from '#runtime/log';

/** For parts whose log lines are not under test. */
export const silentLog = createLog('test', 'silent');

/** For parts whose administrative acts are not under test. */
export const noAudit = createAudit('test', { setting: 'none', log: silentLog });
