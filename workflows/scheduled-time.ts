import { workflowInfo } from '@temporalio/workflow';

/**
 * When the schedule meant this run to be, backfilled ones too; for a run that none started, its start. RFC 3339 UTC with
 * microseconds.
 */
export function scheduledTime(): string {
  const { searchAttributes, startTime } = workflowInfo();
  const scheduled = (searchAttributes.TemporalScheduledStartTime as readonly unknown[] | undefined)?.[0];
  const meant = scheduled instanceof Date || typeof scheduled === 'string' ? new Date(scheduled) : startTime;
  return meant.toISOString().replace('Z', '000Z');
}
