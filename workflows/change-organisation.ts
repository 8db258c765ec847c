import { setCurrentDetails } from '@temporalio/workflow';
import type { LicenceActivities } from '../activities/licences/import-grant.ts';
import { activity } from './activity.ts';
import { createPersistence } from './persist.ts';
import { serveTenant } from './serve-waiting.ts';

export interface ChangeOrganisationInput {
  /** The row of `org_changes`. */
  readonly changeId: string;
}

/** Carries one change of the org tree or its shares: apply it in one transaction, then serve who it gives room. */
export async function changeOrganisation(input: ChangeOrganisationInput): Promise<void> {
  const { persist } = createPersistence();
  const change = activity<LicenceActivities['changeOrganisation']>('changeOrganisation');
  const markServed = activity<LicenceActivities['markServed']>('markServed');
  const { state, tenantId, code } = await persist('STORE', 'changeOrganisation', () => change(input));
  if (state === 'REFUSED') {
    setCurrentDetails(`Refused: \`${code}\`.`);
    return;
  }
  const drafted = await serveTenant(persist, tenantId);
  await persist('STORE', 'markServed', () => markServed(input));
  setCurrentDetails(`Applied, ${drafted} waiting proofs served.`);
}
