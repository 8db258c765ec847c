import { setCurrentDetails } from '@temporalio/workflow';
import type { LicenceActivities } from '../activities/licences/import-grant.ts';
import type { TenantId } from '../domain/ids.ts';
import { activity } from './activity.ts';
import { createPersistence } from './persist.ts';
import { scheduledTime } from './scheduled-time.ts';
import { serveEverybody } from './serve-waiting.ts';

export interface RenewLicensePeriodsInput {
  /** RFC 3339 UTC: the instant as of which to renew; absent: the time that the schedule meant. */
  readonly at?: string;
}

export interface RenewLicensePeriodsResult {
  readonly at: string;
  readonly opened: number;
  readonly warned: number;
  readonly expired: number;
  readonly served: number;
  /** Why nothing was renewed. */
  readonly refused?: string;
}

/**
 * Renews every tenant's grants as of the scheduled time: opens periods, applies amendments, warns, expires, then serves who
 * waited. Runs that were missed need no repeat: a later one opens what fell due meanwhile, in its order. While the
 * clock stands behind a trusted time it renews nothing and says why.
 */
export async function renewLicensePeriods(input: RenewLicensePeriodsInput = {}): Promise<RenewLicensePeriodsResult> {
  const { persist } = createPersistence();
  const renew = activity<LicenceActivities['renewLicences']>('renewLicences');
  const at = input.at ?? scheduledTime();
  let [opened, warned, expired] = [0, 0, 0];
  let after: TenantId | undefined;
  setCurrentDetails(`Renewing as of ${at}.`);
  do {
    const page = after === undefined ? { at } : { at, after };
    const step = await persist('STORE', 'renewLicences', () => renew(page));
    if ('refused' in step) {
      setCurrentDetails(`Refused, \`CLOCK_BEHIND\`: ${step.refused}. Set the clock right; the next run renews.`);
      return { at, opened, warned, expired, served: 0, refused: step.refused };
    }
    opened += step.opened;
    warned += step.warned;
    expired += step.expired;
    after = step.after;
  } while (after !== undefined);
  const served = await serveEverybody(persist);
  setCurrentDetails(
    `${opened} periods opened, ${warned} warnings, ${expired} grants ended, ${served} waiting proofs served.`,
  );
  return { at, opened, warned, expired, served };
}
