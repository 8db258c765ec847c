/**
 * Changes of a tenant's org tree and of its shares. The API asks (`requestOrgChange`), a workflow applies
 * (`applyOrgChange`) and then serves who waited. One transaction each, under the tenant's lock, audited.
 */
import type { Json } from '../domain/canonical-json.ts';
import type { Clock } from '../domain/clock.ts';
import { type ErrorCode, ProoflineError } from '../domain/errors.ts';
import type { OrgUnitId, TenantId } from '../domain/ids.ts';
import { checkAllocations } from '../domain/licence/allocations.ts';
import type { Allocation } from '../domain/licence/grant.ts';
import { appendAudit } from './audit.ts';
import { advanceGrants } from './licence-amendments.ts';
import { lockTenant } from './licence-rooms.ts';
import { findOverdrawn, followShares, readShares, writeShares } from './licence-shares.ts';
import { asStoreError, type Db, inTransaction, type Queryable, type Tx } from './pool.ts';
import { ringDone } from './ring-done.ts';

/** Levels of a tree below its root. */
export const MAX_DEPTH = 16;

export type OrgChange =
  /** A new unit; `parent` absent: a second root. */
  | { readonly kind: 'CREATE_UNIT'; readonly unit: OrgUnitId; readonly parent?: OrgUnitId; readonly name: string }
  /** A unit with all below it to another parent; what they used of running periods counts there from then on. */
  | { readonly kind: 'MOVE_UNIT'; readonly unit: OrgUnitId; readonly parent: OrgUnitId }
  /** Shares of a grant, all at once; a null limit takes the share away: the unit then shares its parent's. */
  | {
      readonly kind: 'SET_SHARES';
      readonly grantId: string;
      readonly shares: readonly { readonly orgUnit: OrgUnitId; readonly limit: number | null }[];
    };

export interface OrgChangeOutcome {
  readonly state: 'APPLIED' | 'REFUSED';
  readonly tenantId: TenantId;
  readonly code?: ErrorCode;
}

export interface OrgChangeRecord {
  readonly id: string;
  readonly kind: OrgChange['kind'];
  readonly state: 'PENDING' | 'APPLIED' | 'REFUSED';
  readonly code: ErrorCode | null;
  readonly detail: string | null;
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

/** Records a request and owes its workflow. As proofline_api. Key (id). */
export async function requestOrgChange(
  db: Queryable,
  request: {
    readonly id: string;
    readonly tenantId: TenantId;
    readonly change: OrgChange;
    /** As the audit trail names them. */
    readonly requestedBy: string;
    /** RFC 3339 UTC with microseconds. */
    readonly at: string;
  },
): Promise<void> {
  const { kind, ...body } = request.change;
  const values = [request.id, request.tenantId, kind, JSON.stringify(body), request.requestedBy, request.at];
  await db.query('SELECT request_org_change($1, $2, $3, $4, $5, $6)', values).catch((error: unknown) => {
    throw asStoreError(error);
  });
}

/** A request of the tenant in scope as it stands. Within `withTenant`. */
export async function readOrgChange(tx: Tx, id: string): Promise<OrgChangeRecord | undefined> {
  const { rows } = await tx.query<OrgChangeRecord>(
    'SELECT id, kind, state, code, detail, created_at AS "createdAt", finished_at AS "finishedAt" FROM org_changes WHERE id = $1',
    [id],
  );
  return rows[0];
}

/** Of these requests of the tenant in scope those that are over. Within `withTenant`. */
export async function finishedOrgChanges(tx: Tx, ids: readonly string[]): Promise<string[]> {
  const { rows } = await tx.query<{ id: string }>(
    "SELECT id FROM org_changes WHERE id = ANY ($1::uuid[]) AND state <> 'PENDING'",
    [ids],
  );
  return rows.map(({ id }) => id);
}

/** Changes asked for before `before` that have not come to their end, oldest first; at most `limit`. As proofline_worker. */
export async function readOpenOrgChanges(db: Queryable, before: string, limit: number): Promise<readonly string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM org_changes WHERE (state = 'PENDING' OR (state = 'APPLIED' AND served_at IS NULL)) AND created_at < $1 ORDER BY created_at LIMIT $2`,
    [before, limit],
  );
  return rows.map((row) => row.id);
}

/** Notes that those to whom an applied change gave room were served. Key (change). As proofline_worker. */
export async function markOrgChangeServed(db: Queryable, changeId: string, now: string): Promise<void> {
  await db
    .query("UPDATE org_changes SET served_at = $2 WHERE id = $1 AND state = 'APPLIED' AND served_at IS NULL", [
      changeId,
      now,
    ])
    .catch((error: unknown) => {
      throw asStoreError(error);
    });
}

interface Request {
  readonly tenant_id: TenantId;
  readonly kind: OrgChange['kind'];
  readonly body: object;
  readonly requested_by: string;
  readonly state: OrgChangeRecord['state'];
  readonly code: ErrorCode | null;
}

/**
 * Applies one request, or refuses it with ORG_TREE_INVALID, ALLOCATION_INVALID or ALLOCATION_BELOW_USE; nothing is half
 * applied. Key (request): a repeat returns the outcome. Locks: request, tenant, units by id, grants' shares, the audit
 * trail. Throws NOT_FOUND if there is no such request.
 */
export async function applyOrgChange(db: Db, changeId: string, clock: Clock): Promise<OrgChangeOutcome> {
  try {
    return await inTransaction(db, async (tx) => {
      const request = await readRequest(tx, changeId);
      if (request.state !== 'PENDING') return outcomeOf(request);
      const now = clock.nowMicros();
      await lockTenant(tx, request.tenant_id);
      await advanceGrants(tx, request.tenant_id, now);
      await apply(tx, request.tenant_id, { kind: request.kind, ...request.body } as OrgChange, now);
      return await finish(tx, changeId, request, now);
    });
  } catch (error) {
    if (!(error instanceof ProoflineError) || !/^(ORG_TREE|ALLOCATION)_/.test(error.code)) throw error;
    return await inTransaction(db, async (tx) => {
      const request = await readRequest(tx, changeId);
      return request.state === 'PENDING' ? finish(tx, changeId, request, clock.nowMicros(), error) : outcomeOf(request);
    });
  }
}

async function apply(tx: Tx, tenant: TenantId, change: OrgChange, now: string): Promise<void> {
  switch (change.kind) {
    case 'CREATE_UNIT':
      return createUnit(tx, tenant, change, now);
    case 'MOVE_UNIT':
      return moveUnit(tx, tenant, change, now);
    case 'SET_SHARES':
      return setShares(tx, tenant, change, now);
  }
}

async function createUnit(
  tx: Tx,
  tenant: TenantId,
  { unit, parent, name }: Extract<OrgChange, { kind: 'CREATE_UNIT' }>,
  now: string,
): Promise<void> {
  const above = parent === undefined ? [] : await pathTo(tx, tenant, parent);
  if (above.length > MAX_DEPTH)
    throw new ProoflineError('ORG_TREE_INVALID', `at most ${MAX_DEPTH} levels below a root`);
  await tx.query(
    'INSERT INTO org_units (id, tenant_id, parent_id, depth, path, name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)',
    [unit, tenant, parent ?? null, above.length, [...above, unit], name, now],
  );
}

async function moveUnit(
  tx: Tx,
  tenant: TenantId,
  { unit, parent }: Extract<OrgChange, { kind: 'MOVE_UNIT' }>,
  now: string,
): Promise<void> {
  const before = await pathTo(tx, tenant, unit);
  const above = await pathTo(tx, tenant, parent);
  if (above.includes(unit)) throw new ProoflineError('ORG_TREE_INVALID', `unit ${parent} is ${unit} or lies below it`);
  const { rows } = await tx.query<{ deepest: number }>(
    'SELECT max(depth) AS deepest FROM org_units WHERE tenant_id = $1 AND $2 = ANY (path)',
    [tenant, unit],
  );
  const deepest = (rows[0]?.deepest ?? 0) - (before.length - 1) + above.length;
  if (deepest > MAX_DEPTH) throw new ProoflineError('ORG_TREE_INVALID', `at most ${MAX_DEPTH} levels below a root`);
  await tx.query(
    `UPDATE org_units SET parent_id = CASE WHEN id = $2 THEN $4 ELSE parent_id END, path = $3::uuid[] || path[$5::int:], depth = cardinality($3::uuid[]) + depth - $5::int + 1
     WHERE tenant_id = $1 AND $2 = ANY (path)`,
    [tenant, unit, above, parent, before.length],
  );
  for (const { id, units } of await liveGrants(tx, tenant, now))
    await checkShares(tx, tenant, units, await readShares(tx, id));
  await followUse(tx, tenant, now, above);
}

async function setShares(
  tx: Tx,
  tenant: TenantId,
  change: Extract<OrgChange, { kind: 'SET_SHARES' }>,
  now: string,
): Promise<void> {
  const grant = (await liveGrants(tx, tenant, now)).find(({ id }) => id === change.grantId);
  if (grant === undefined)
    throw new ProoflineError('ALLOCATION_INVALID', `${change.grantId} is no BASE grant of this tenant that still runs`);
  const named = change.shares.map((share) => share.orgUnit);
  const kept = (await readShares(tx, grant.id)).filter((share) => !named.includes(share.orgUnit));
  const set = change.shares.flatMap(({ orgUnit, limit }) => (limit === null ? [] : [{ orgUnit, limit }]));
  await checkShares(tx, tenant, grant.units, [...kept, ...set]);
  await writeShares(tx, tenant, grant.id, [...kept, ...set]);
  await followUse(tx, tenant, now, named);
}

/** Brings the shares of running periods after; none of `units` may end up with less than is used below it. */
async function followUse(tx: Tx, tenant: TenantId, now: string, units: readonly OrgUnitId[]): Promise<void> {
  const over = await findOverdrawn(tx, tenant, now, units);
  if (over !== undefined)
    throw new ProoflineError(
      'ALLOCATION_BELOW_USE',
      `of grant ${over.grantId} unit ${over.orgUnit} would have ${over.quota}, and ${over.used} are used`,
    );
  await followShares(tx, tenant, now);
}

async function checkShares(tx: Tx, tenant: TenantId, quota: number, shares: readonly Allocation[]): Promise<void> {
  const { rows } = await tx.query<{ id: OrgUnitId; path: readonly OrgUnitId[] }>(
    'SELECT id, path FROM org_units WHERE tenant_id = $1 AND id = ANY ($2::uuid[])',
    [tenant, shares.map((share) => share.orgUnit)],
  );
  const paths = new Map(rows.map((row) => [row.id, row.path]));
  try {
    checkAllocations(quota, shares, (unit) => paths.get(unit));
  } catch (error) {
    if (error instanceof ProoflineError && error.code === 'GRANT_ALLOCATION_INVALID')
      throw new ProoflineError('ALLOCATION_INVALID', error.detail, { cause: error });
    throw error;
  }
}

async function liveGrants(tx: Tx, tenant: TenantId, now: string): Promise<readonly { id: string; units: number }[]> {
  const { rows } = await tx.query<{ id: string; units: bigint }>(
    `SELECT id, coalesce(units, 0) AS units FROM licence_grants
     WHERE tenant_id = $1 AND kind = 'BASE' AND (ends_at IS NULL OR ends_at > $2) ORDER BY seq`,
    [tenant, now],
  );
  return rows.map((row) => ({ id: row.id, units: Number(row.units) }));
}

/** Root first, the unit last. Throws ORG_TREE_INVALID for a unit that is not the tenant's, or closed. */
async function pathTo(tx: Tx, tenant: TenantId, unit: OrgUnitId): Promise<readonly OrgUnitId[]> {
  const { rows } = await tx.query<{ path: readonly OrgUnitId[] }>(
    'SELECT path FROM org_units WHERE tenant_id = $1 AND id = $2 AND closed_at IS NULL',
    [tenant, unit],
  );
  if (rows[0] === undefined)
    throw new ProoflineError('ORG_TREE_INVALID', `unit ${unit} is none of this tenant, or closed`);
  return rows[0].path;
}

async function finish(
  tx: Tx,
  id: string,
  request: Request,
  now: string,
  refusal?: ProoflineError,
): Promise<OrgChangeOutcome> {
  const state = refusal === undefined ? 'APPLIED' : 'REFUSED';
  await tx.query('UPDATE org_changes SET state = $2, code = $3, detail = $4, finished_at = $5 WHERE id = $1', [
    id,
    state,
    refusal?.code ?? null,
    refusal?.detail ?? null,
    now,
  ]);
  const verb = { CREATE_UNIT: 'org.unit_created', MOVE_UNIT: 'org.unit_moved', SET_SHARES: 'licence.shares_set' };
  await appendAudit(tx, {
    at: now,
    actor: request.requested_by,
    tenantId: request.tenant_id,
    action: refusal === undefined ? verb[request.kind] : 'org.change_refused',
    subject: id,
    detail: {
      kind: request.kind,
      ...(request.body as { readonly [key: string]: Json }),
      ...(refusal !== undefined && { code: refusal.code }),
    },
  });
  // Whoever waits for the outcome looks once this is committed.
  await ringDone(tx, [id]);
  return { state, tenantId: request.tenant_id, ...(refusal !== undefined && { code: refusal.code }) };
}

async function readRequest(tx: Tx, id: string): Promise<Request> {
  const { rows } = await tx.query<Request>(
    'SELECT tenant_id, kind, body, requested_by, state, code FROM org_changes WHERE id = $1 FOR UPDATE',
    [id],
  );
  if (rows[0] === undefined) throw new ProoflineError('NOT_FOUND', `no request ${id} to change the org tree`);
  return rows[0];
}

function outcomeOf({ state, tenant_id: tenantId, code }: Request): OrgChangeOutcome {
  return { state: state === 'REFUSED' ? 'REFUSED' : 'APPLIED', tenantId, ...(code !== null && { code }) };
}
