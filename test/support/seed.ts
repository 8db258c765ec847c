import { randomBytes, randomUUID } from 'node:crypto';
import { apiKeyPrefix, formatApiKey, hashApiKey } from '../../domain/api-key.ts';
import type { ApiKeyId, OrgUnitId, TenantId } from '../../domain/ids.ts';
import type { Queryable } from '../../store/pool.ts';

export interface SeededTenant {
  readonly tenantId: TenantId;
  readonly orgUnitId: OrgUnitId;
  readonly apiKeyId: ApiKeyId;
  /** The secret, `pl_test_…`: the bearer token. */
  readonly apiKey: string;
}

export interface SeedOptions {
  readonly name?: string;
  readonly scopes?: readonly string[];
  readonly anchorPolicy?: 'NONE' | 'PREFERRED' | 'REQUIRED';
  readonly anchorWindow?: 'express' | 'standard' | 'economy';
  readonly anchorDeadlineMs?: number;
  readonly mayWeakenAnchorPolicy?: boolean;
}

/** One tenant with its root unit and one API key, by plain SQL as `proofline_owner` or `proofline_worker`. */
export async function seedTenant(db: Queryable, options: SeedOptions = {}): Promise<SeededTenant> {
  const tenantId = randomUUID() as string as TenantId;
  const orgUnitId = randomUUID() as string as OrgUnitId;
  await db.query(
    `INSERT INTO tenants (id, name, anchor_policy, anchor_window, anchor_deadline_ms, may_weaken_anchor_policy, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, now())`,
    [
      tenantId,
      options.name ?? 'Tenant of a test',
      options.anchorPolicy ?? 'PREFERRED',
      options.anchorWindow ?? 'express',
      options.anchorDeadlineMs ?? 600_000,
      options.mayWeakenAnchorPolicy ?? true,
    ],
  );
  await db.query(
    `INSERT INTO org_units (id, tenant_id, depth, path, name, created_at) VALUES ($1, $2, 0, ARRAY[$1::uuid], 'Root', now())`,
    [orgUnitId, tenantId],
  );
  const scopes = options.scopes ?? ['proofs:write', 'proofs:read', 'verify', 'licenses:read', 'org:manage'];
  const { apiKeyId, apiKey } = await insertKey(db, { tenantId, orgUnitId, scopes, roles: [] });
  return { tenantId, orgUnitId, apiKeyId, apiKey };
}

/** A key of an operator: of no tenant, with roles. Returns the secret. */
export async function seedOperatorKey(db: Queryable, roles: readonly string[] = ['PLATFORM_ADMIN']): Promise<string> {
  return (await insertKey(db, { tenantId: null, orgUnitId: null, scopes: [], roles })).apiKey;
}

interface NewKey {
  readonly tenantId: TenantId | null;
  readonly orgUnitId: OrgUnitId | null;
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
}

async function insertKey(db: Queryable, key: NewKey): Promise<{ apiKeyId: ApiKeyId; apiKey: string }> {
  const apiKeyId = randomUUID() as string as ApiKeyId;
  const apiKey = formatApiKey('test', randomBytes(24));
  await db.query(
    `INSERT INTO api_keys (id, tenant_id, org_unit_id, label, prefix, hash, scopes, roles, created_at)
     VALUES ($1, $2, $3, 'test', $4, $5, $6, $7, now())`,
    [apiKeyId, key.tenantId, key.orgUnitId, apiKeyPrefix(apiKey), hashApiKey(apiKey), key.scopes, key.roles],
  );
  return { apiKeyId, apiKey };
}
