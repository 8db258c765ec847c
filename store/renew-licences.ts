/** Renewal: what the passing of time does to grants, tenant by tenant, and the time that is trusted for it. */
import { ProoflineError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import { parseInstant } from '../domain/time.ts';
import { appendAudit } from './audit.ts';
import { advanceGrants } from './licence-amendments.ts';
import { noteExpiring } from './licence-notices.ts';
import { lockTenant } from './licence-rooms.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

/** How far our clock may stand behind a trusted time, or a scheduled time before our clock. */
export const CLOCK_TOLERANCE_MS = 60_000;

export interface TrustedTime {
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
  /** Who stated it. */
  readonly source: string;
}

/**
 * Keeps the newest time that a timestamp authority or the ledger's consensus, of a topic or a contract, has stated, and
 * returns it; undefined before there is any. It never goes back.
 */
export async function keepTrustedTime(db: Db, origin: string): Promise<TrustedTime | undefined> {
  const { rows } = await db.query<TrustedTime>(
    `WITH seen AS (
       (SELECT gen_time AS at, 'timestamp of ' || tsa AS source FROM timestamps WHERE origin = $1 ORDER BY size DESC LIMIT 1)
       UNION ALL
       (SELECT to_timestamp(trunc((entry ->> 'consensusTimestamp')::numeric, 6)), 'consensus of ' || (entry ->> 'ledger')
        FROM anchors WHERE origin = $1 AND state = 'VERIFIED' AND entry IS NOT NULL ORDER BY size DESC LIMIT 1)
       UNION ALL
       (SELECT to_timestamp(trunc((entry ->> 'consensusTimestamp')::numeric, 6)), 'consensus of ' || (entry ->> 'ledger')
        FROM contract_anchors WHERE origin = $1 AND state = 'VERIFIED' AND entry IS NOT NULL ORDER BY size DESC LIMIT 1)
       UNION ALL
       (SELECT trusted_at, source FROM licence_clock WHERE trusted_at IS NOT NULL)
     )
     UPDATE licence_clock c SET trusted_at = s.at, source = s.source FROM (SELECT at, source FROM seen ORDER BY at DESC LIMIT 1) s
     RETURNING c.trusted_at AS at, c.source`,
    [origin],
  );
  return rows[0];
}

/** Throws CLOCK_BEHIND if `now` stands behind the trusted time, or behind the instant that renewal is asked for. */
export function checkClock(now: string, at: string, trusted: TrustedTime | undefined): void {
  const behind = (other: string): boolean => micros(now) + BigInt(CLOCK_TOLERANCE_MS) * 1000n < micros(other);
  if (trusted !== undefined && behind(trusted.at))
    throw new ProoflineError('CLOCK_BEHIND', `the clock says ${now}, but the ${trusted.source} says ${trusted.at}`);
  if (behind(at)) throw new ProoflineError('CLOCK_BEHIND', `the clock says ${now}, but renewal is asked for ${at}`);
}

/** Notes how a renewal went, for the views; a refusal is audited once until it ends. */
export async function noteRenewal(db: Db, now: string, refusal: string | undefined): Promise<void> {
  await inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ was: string | null }>(
      'SELECT refusal AS was FROM licence_clock FOR NO KEY UPDATE',
    );
    await tx.query(
      'UPDATE licence_clock SET refusal = $1, renewed_at = CASE WHEN $1::text IS NULL THEN $2::timestamptz ELSE renewed_at END',
      [refusal ?? null, now],
    );
    if (refusal !== undefined && rows[0]?.was === null)
      await appendAudit(tx, {
        at: now,
        actor: 'system:renewal',
        action: 'licence.renewal_refused',
        subject: 'clock',
        detail: { why: refusal },
      });
  });
}

export interface RenewalStep {
  /** Periods opened, warnings sent, grants that ended. */
  readonly opened: number;
  readonly warned: number;
  readonly expired: number;
  /** Where to go on; absent at the end. */
  readonly after?: TenantId;
}

/**
 * Renews the grants of up to `limit` tenants, by id after `after`: opens periods, applies amendments, warns and expires,
 * each tenant in a transaction of its own. Key (tenant, at): a repeat changes nothing.
 */
export async function renewLicences(
  db: Db,
  input: { readonly at: string; readonly after?: TenantId; readonly limit: number; readonly onStep?: () => void },
): Promise<RenewalStep> {
  const { rows: tenants } = await db.query<{ id: TenantId }>(
    `SELECT DISTINCT tenant_id AS id FROM licence_grants WHERE kind = 'BASE' AND expired_at IS NULL AND ($1::uuid IS NULL OR tenant_id > $1)
     ORDER BY tenant_id LIMIT $2`,
    [input.after ?? null, input.limit],
  );
  let [opened, warned, expired] = [0, 0, 0];
  for (const { id } of tenants) {
    const step = await inTransaction(db, (tx) => renewTenant(tx, id, input.at));
    opened += step.opened;
    warned += step.warned;
    expired += step.expired;
    input.onStep?.();
  }
  const last = tenants.at(-1);
  return { opened, warned, expired, ...(last && tenants.length === input.limit && { after: last.id }) };
}

async function renewTenant(tx: Tx, tenant: TenantId, at: string): Promise<Omit<RenewalStep, 'after'>> {
  await lockTenant(tx, tenant);
  const opened = await advanceGrants(tx, tenant, at);
  const warned = await noteExpiring(tx, tenant, at);
  const { rows } = await tx.query<{ id: string; ends_at: string }>(
    `UPDATE licence_grants SET expired_at = $2 WHERE tenant_id = $1 AND kind = 'BASE' AND expired_at IS NULL AND ends_at <= $2 RETURNING id, ends_at`,
    [tenant, at],
  );
  const entry = { at, actor: 'system:renewal', tenantId: tenant };
  for (const { id, ends_at } of rows)
    await appendAudit(tx, { ...entry, action: 'licence.expired', subject: id, detail: { endsAt: ends_at } });
  return { opened, warned, expired: rows.length };
}

/** Tenants with proofs in their licence queue, by id after `after`. */
export async function listWaitingTenants(
  db: Db,
  after: TenantId | undefined,
  limit: number,
): Promise<readonly TenantId[]> {
  const { rows } = await db.query<{ id: TenantId }>(
    `SELECT t.id FROM tenants t WHERE ($1::uuid IS NULL OR t.id > $1) AND EXISTS (SELECT FROM licence_queue q WHERE q.tenant_id = t.id)
     ORDER BY t.id LIMIT $2`,
    [after ?? null, limit],
  );
  return rows.map((row) => row.id);
}

function micros(instant: string): bigint {
  return parseInstant(instant) ?? 0n;
}
