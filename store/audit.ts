import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes } from '../domain/bytes.ts';
import { canonicalBytes, type Json } from '../domain/canonical-json.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Db, Tx } from './pool.ts';

/** Who did what to what. `actor` as the access layer names it, e.g. `key:<id>`; never a secret. */
export interface AuditEntry {
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
  readonly actor: string;
  /** Absent where the action concerns no tenant. */
  readonly tenantId?: TenantId;
  /** A dotted verb, e.g. `licence.imported`. */
  readonly action: string;
  readonly subject: string;
  readonly detail?: { readonly [key: string]: Json };
}

const GENESIS = new Uint8Array(32);
const PAGE = 1_000;

/**
 * Appends to the audit trail, in the transaction that performs the action: hash = SHA-256(hash before ‖ JCS(entry)).
 * Writers take turns until commit, so call it last. Locks: the trail's advisory lock.
 */
export async function appendAudit(tx: Tx, entry: AuditEntry): Promise<void> {
  await tx.query("SELECT pg_advisory_xact_lock(hashtextextended('proofline.audit', 0))");
  const { rows } = await tx.query<{ hash: Uint8Array }>('SELECT hash FROM audit ORDER BY id DESC LIMIT 1');
  const before = rows[0]?.hash ?? GENESIS;
  await tx.query(
    'INSERT INTO audit (at, actor, tenant_id, action, subject, detail, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)',
    [
      entry.at,
      entry.actor,
      entry.tenantId ?? null,
      entry.action,
      entry.subject,
      JSON.stringify(entry.detail ?? {}),
      before,
      hashOf(before, entry),
    ],
  );
}

function hashOf(before: Uint8Array, entry: AuditEntry): Uint8Array {
  const { at, actor, tenantId, action, subject, detail } = entry;
  const named = { at, actor, tenant: tenantId ?? null, action, subject, detail: detail ?? {} };
  return sha256(concatBytes(before, canonicalBytes(named)));
}

/** The id of the first row that does not follow from the one before it; undefined if the whole trail holds. */
export async function findAuditBreak(db: Db): Promise<bigint | undefined> {
  let before: Uint8Array = GENESIS;
  for (let after = 0n; ; ) {
    const { rows } = await db.query(
      'SELECT id, at, actor, tenant_id, action, subject, detail, prev_hash, hash FROM audit WHERE id > $1::bigint ORDER BY id LIMIT $2',
      [after.toString(), PAGE],
    );
    if (rows.length === 0) return undefined;
    for (const { id, at, actor, tenant_id, action, subject, detail, prev_hash, hash } of rows) {
      const entry = { at, actor, action, subject, detail, ...(tenant_id !== null && { tenantId: tenant_id }) };
      if (!equalBytes(prev_hash, before) || !equalBytes(hash, hashOf(before, entry))) return id;
      before = hash;
      after = id;
    }
  }
}
