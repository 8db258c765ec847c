/** The audit trail as the API reads it: by one function, which shows a tenant what concerns it. */
import { toHex } from '../domain/bytes.ts';
import type { Json } from '../domain/canonical-json.ts';
import type { TenantId } from '../domain/ids.ts';
import { asStoreError, type Queryable } from './pool.ts';

/** One entry with its place in the chain: hash = SHA-256(previousHash ‖ JCS of {action, actor, at, detail, subject, tenant}), both in hex. */
export interface AuditRecord {
  readonly id: bigint;
  readonly at: string;
  readonly actor: string;
  readonly tenant: TenantId | null;
  readonly action: string;
  readonly subject: string;
  readonly detail: { readonly [key: string]: Json };
  /** Of the entry before it in the whole trail; 32 zero bytes for the first. */
  readonly previousHash: string;
  readonly hash: string;
}

export interface AuditFilter {
  /** Absent: every entry. For operators only; the caller checks the role first. */
  readonly tenant?: TenantId;
  readonly actor?: string;
  readonly action?: string;
  readonly subject?: string;
  /** RFC 3339, inclusive. */
  readonly from?: string;
  /** RFC 3339, exclusive. */
  readonly to?: string;
  /** Only entries before this one. */
  readonly before?: bigint;
  /** At most 501. */
  readonly limit: number;
}

/** One page of the trail, newest first. As proofline_api. */
export async function listAudit(db: Queryable, filter: AuditFilter): Promise<readonly AuditRecord[]> {
  const { tenant, actor, action, subject, from, to, before, limit } = filter;
  const values = [tenant, actor, action, subject, from, to, before?.toString(), limit].map((value) => value ?? null);
  const { rows } = await db
    .query('SELECT * FROM list_audit($1, $2, $3, $4, $5, $6, $7::bigint, $8)', values)
    .catch((error: unknown) => {
      throw asStoreError(error);
    });
  return rows.map(({ id, at, actor, tenant_id, action, subject, detail, prev_hash, hash }) => ({
    id,
    at,
    actor,
    tenant: tenant_id,
    action,
    subject,
    detail,
    previousHash: toHex(prev_hash),
    hash: toHex(hash),
  }));
}
