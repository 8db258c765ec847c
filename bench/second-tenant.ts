import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { apiKeyPrefix, formatApiKey, hashApiKey } from '../domain/api-key.ts';
import type { TenantId } from '../domain/ids.ts';
import { localKeyPaths } from '../local/keys/ensure-local-keys.ts';
import { issueLocalGrant } from '../local/license/issue-local-grant.ts';
import type { System } from './system.ts';

const QUOTA = 10_000_000;
const IMPORT_MS = 60_000;

/** A tenant beside the local one. */
export interface BenchTenant {
  readonly id: TenantId;
  readonly apiKey: string;
}

/** A second tenant with a licence of its own beside the local one; returns its API key. */
export async function createSecondTenant(system: System): Promise<string> {
  const tenant = await createTenant(system);
  await grantLicence(system, tenant.id);
  return tenant.apiKey;
}

/** A tenant without a licence. */
export async function createTenant({ db }: System): Promise<BenchTenant> {
  const tenant = randomUUID() as string as TenantId;
  const unit = randomUUID();
  const apiKey = formatApiKey('test', randomBytes(24));
  await db.query(
    `INSERT INTO tenants (id, name, may_weaken_anchor_policy, max_pending, created_at) VALUES ($1, 'Quiet', true, 2000000000, now())`,
    [tenant],
  );
  await db.query(
    `INSERT INTO org_units (id, tenant_id, depth, path, name, created_at) VALUES ($1, $2, 0, ARRAY[$1::uuid], 'Quiet', now())`,
    [unit, tenant],
  );
  await db.query(
    `INSERT INTO api_keys (id, tenant_id, org_unit_id, label, prefix, hash, scopes, roles, created_at)
     VALUES ($1, $2, $3, 'bench', $4, $5, ARRAY['proofs:write', 'proofs:read'], ARRAY[]::text[], now())`,
    [randomUUID(), tenant, unit, apiKeyPrefix(apiKey), hashApiKey(apiKey)],
  );
  return { id: tenant, apiKey };
}

/** Imports a grant over the API, as an operator does. */
export async function grantLicence({ stack, dataDir }: System, tenant: TenantId): Promise<void> {
  const { apiUrl, operatorKey } = stack.info;
  const trust = (await (await fetch(`${apiUrl}/.well-known/proofline.json`)).json()) as { instance: string };
  const grant = await issueLocalGrant({
    tenant,
    quota: QUOTA,
    keyFile: localKeyPaths(join(dataDir, 'keys')).licenseIssuer.keyFile,
    instance: trust.instance,
    grantId: `bench-${tenant}`,
    term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
    notBefore: '2026-01-01T00:00:00Z',
  });
  for (const deadline = performance.now() + IMPORT_MS; ; ) {
    const response = await fetch(`${apiUrl}/v1/admin/licenses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${operatorKey}`, 'content-type': 'application/jose' },
      body: grant,
    });
    const text = await response.text();
    if (response.status === 200) return;
    if (response.status !== 202 || performance.now() > deadline)
      throw new Error(`the grant: ${response.status} ${text}`);
  }
}
