import type { LicenceActivities } from '../activities/licences/import-grant.ts';
import type { TenantId } from '../domain/ids.ts';
import { activity } from './activity.ts';
import type { createPersistence } from './persist.ts';

type Persist = ReturnType<typeof createPersistence>['persist'];

/** Serves one tenant's queue to its end; the drain wakes the batches. Returns how many proofs got their unit. */
export async function serveTenant(persist: Persist, tenantId: TenantId): Promise<number> {
  const drainLicences = activity<LicenceActivities['drainLicences']>('drainLicences');
  let drafted = 0;
  for (let more = true; more; ) {
    const step = await persist('STORE', 'drainLicences', () => drainLicences({ tenantId }));
    drafted += step.drafted;
    more = step.more;
  }
  return drafted;
}

/** Serves the queue of every tenant that has one. */
export async function serveEverybody(persist: Persist): Promise<number> {
  const serveWaiting = activity<LicenceActivities['serveWaiting']>('serveWaiting');
  let drafted = 0;
  let after: TenantId | undefined;
  do {
    const page = after === undefined ? {} : { after };
    const step = await persist('STORE', 'serveWaiting', () => serveWaiting(page));
    drafted += step.drafted;
    after = step.after;
  } while (after !== undefined);
  return drafted;
}
