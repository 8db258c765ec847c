/** Who bears an API key. Asked before the tenant is known, so through a function that crosses tenants. */
import type { ApiKeyId, OrgUnitId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { asStoreError, type Queryable } from './pool.ts';

/** A key of a tenant's org unit, with what the tenant's rules make of a submission. */
export interface TenantKey {
  readonly kind: 'tenant';
  readonly id: ApiKeyId;
  readonly tenant: TenantId;
  readonly orgUnit: OrgUnitId;
  readonly scopes: readonly string[];
  readonly anchorPolicy: AnchorPolicy;
  readonly anchorWindow: AnchorWindow;
  readonly anchorDeadlineMs: number;
  readonly mayWeakenAnchorPolicy: boolean;
}

/** An operator's key: roles, no tenant. */
export interface OperatorKey {
  readonly kind: 'operator';
  readonly id: ApiKeyId;
  readonly roles: readonly string[];
}

export type BearerKey = TenantKey | OperatorKey;

interface Row {
  key_id: ApiKeyId;
  tenant_id: TenantId | null;
  org_unit_id: OrgUnitId | null;
  scopes: string[];
  roles: string[];
  tenant_anchor_policy: AnchorPolicy | null;
  tenant_anchor_window: AnchorWindow | null;
  anchor_deadline_ms: number | null;
  may_weaken_anchor_policy: boolean | null;
}

/** The key with this SHA-256, unless it is unknown, revoked, or expired at `at` (RFC 3339). Throws STORE_UNAVAILABLE. */
export async function authenticateKey(db: Queryable, hash: Uint8Array, at: string): Promise<BearerKey | undefined> {
  let row: Row | undefined;
  try {
    row = (
      await db.query<Row>({
        name: 'authenticate_key',
        text: 'SELECT * FROM authenticate_key($1, $2)',
        values: [hash, at],
      })
    ).rows[0];
  } catch (error) {
    throw asStoreError(error);
  }
  if (row === undefined) return undefined;
  if (row.tenant_id === null || row.org_unit_id === null) return { kind: 'operator', id: row.key_id, roles: row.roles };
  return {
    kind: 'tenant',
    id: row.key_id,
    tenant: row.tenant_id,
    orgUnit: row.org_unit_id,
    scopes: row.scopes,
    anchorPolicy: row.tenant_anchor_policy ?? 'PREFERRED',
    anchorWindow: row.tenant_anchor_window ?? 'express',
    anchorDeadlineMs: row.anchor_deadline_ms ?? 600_000,
    mayWeakenAnchorPolicy: row.may_weaken_anchor_policy ?? false,
  };
}
