import { setCurrentDetails } from '@temporalio/workflow';
import type { LicenceActivities } from '../activities/licences/import-grant.ts';
import { activity } from './activity.ts';
import { createPersistence } from './persist.ts';
import { serveEverybody, serveTenant } from './serve-waiting.ts';

export interface ImportLicenseInput {
  /** The row of `licence_imports`: the file itself never enters history. */
  readonly importId: string;
}

/**
 * Carries one request to import a grant or a revocation list: verify and apply it in one transaction, then serve who waited for it; the
 * drain wakes their batches. A refusal is an outcome, kept in the row, and not a failure of the workflow.
 */
export async function importLicense(input: ImportLicenseInput): Promise<void> {
  const { persist } = createPersistence();
  const importGrant = activity<LicenceActivities['importGrant']>('importGrant');
  const markServed = activity<LicenceActivities['markServed']>('markServed');

  setCurrentDetails('Checking the grant.');
  const { state, tenantId, code } = await persist('STORE', 'importGrant', () => importGrant(input));
  if (state !== 'APPLIED') {
    setCurrentDetails(`Done: ${state}${code === undefined ? '' : `, \`${code}\``}.`);
    return;
  }
  setCurrentDetails('Applied. Serving the proofs that waited.');
  // A revocation list is of no tenant: what it gives back, anybody may have waited for.
  const drafted = tenantId === undefined ? await serveEverybody(persist) : await serveTenant(persist, tenantId);
  await persist('STORE', 'markServed', () => markServed(input));
  setCurrentDetails(`Done: APPLIED, ${drafted} waiting proofs served.`);
}
