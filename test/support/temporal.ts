import { randomBytes } from 'node:crypto';
import { testServers } from './servers.ts';

export interface TestTemporal {
  readonly address: string;
  readonly namespace: string;
  /** Good for a task queue, or as a suffix of workflow ids: nobody else uses it. */
  readonly taskQueue: string;
}

/** The run's Temporal server, with a task queue that is this caller's alone. */
export function temporalForTest(): TestTemporal {
  return { ...testServers().temporal, taskQueue: `test-${randomBytes(8).toString('hex')}` };
}
