/** Three tenants: the local one, one with room to spare, and one whose licence is soon used up. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { TenantId } from '../../domain/ids.ts';
import { localKeyPaths } from '../../local/keys/ensure-local-keys.ts';
import { issueLocalGrant } from '../../local/license/issue-local-grant.ts';
import type { Stack } from '../../local/stack/start-stack.ts';
import type { Db } from '../../store/pool.ts';
import { seedTenant } from '../support/seed.ts';
import type { ChaosTenant } from './clients.ts';

const SCARCE = 300;
const PLENTY = 1_000_000;

export async function createTenants(stack: Stack, owner: Db, dataDir: string): Promise<readonly ChaosTenant[]> {
  await owner.query('UPDATE tenants SET may_weaken_anchor_policy = true');
  const ample = await seedTenant(owner, { name: 'Ample' });
  // Some of its PREFERRED proofs pass their deadline before an anchor comes.
  const scarce = await seedTenant(owner, { name: 'Scarce', anchorDeadlineMs: 2_000 });
  await importGrant(stack, dataDir, { tenant: ample.tenantId, quota: PLENTY });
  await importGrant(stack, dataDir, { tenant: scarce.tenantId, quota: SCARCE });
  return [
    { name: 'local', id: stack.tenant, apiKey: stack.info.apiKey },
    { name: 'ample', id: ample.tenantId, apiKey: ample.apiKey },
    { name: 'scarce', id: scarce.tenantId, apiKey: scarce.apiKey },
  ];
}

/** Lets everybody finish who waits for a licence. */
export async function grantTheRest(stack: Stack, tenants: readonly ChaosTenant[], dataDir: string): Promise<void> {
  const scarce = tenants.find(({ name }) => name === 'scarce');
  if (scarce === undefined) return;
  const tenant = scarce.id as TenantId;
  const first = await issue(stack, dataDir, { tenant, quota: SCARCE });
  const hash = createHash('sha256').update(first).digest('hex');
  await importGrant(stack, dataDir, { tenant, quota: PLENTY, previous: { seq: 1, hash } });
}

interface Grant {
  readonly tenant: TenantId;
  readonly quota: number;
  readonly previous?: { readonly seq: number; readonly hash: string };
}

async function issue(stack: Stack, dataDir: string, grant: Grant): Promise<string> {
  const trust = (await (await fetch(`${stack.info.apiUrl}/.well-known/proofline.json`)).json()) as { instance: string };
  return issueLocalGrant({
    ...grant,
    keyFile: localKeyPaths(join(dataDir, 'keys')).licenseIssuer.keyFile,
    instance: trust.instance,
    grantId: `chaos-${grant.tenant}-${grant.previous === undefined ? 1 : 2}`,
    term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
    notBefore: '2026-01-01T00:00:00Z',
  });
}

async function importGrant(stack: Stack, dataDir: string, grant: Grant): Promise<void> {
  const body = await issue(stack, dataDir, grant);
  const deadline = Date.now() + 60_000;
  for (;;) {
    const response = await fetch(`${stack.info.apiUrl}/v1/admin/licenses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.info.operatorKey}`, 'content-type': 'application/jose' },
      body,
    });
    const text = await response.text();
    if (response.status === 200) return;
    if (response.status !== 202 || Date.now() > deadline) throw new Error(`the grant: ${response.status} ${text}`);
  }
}
