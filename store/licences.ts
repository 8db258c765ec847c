import { fromHex, toHex } from '../domain/bytes.ts';
import type { Json } from '../domain/canonical-json.ts';
import type { Clock } from '../domain/clock.ts';
import { type ErrorCode, ProoflineError } from '../domain/errors.ts';
import type { OrgUnitId, TenantId } from '../domain/ids.ts';
import { checkGrant, type GrantContext } from '../domain/licence/check-grant.ts';
import { type BaseGrant, type Grant, type GrantFile, parseGrantFile } from '../domain/licence/grant.ts';
import { type IssuerKeys, verifyGrantSignature } from '../domain/licence/issuers.ts';
import { parseInstant } from '../domain/time.ts';
import { appendAudit } from './audit.ts';
import { duePeriods, insertPeriods } from './licence-periods.ts';
import { lockTenant } from './licence-rooms.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

export interface ImportDeps {
  readonly clock: Clock;
  readonly issuers: IssuerKeys;
  /** Of this instance, hex. */
  readonly instanceFingerprint: string;
}

/** How a request to import ended. */
export interface ImportOutcome {
  readonly state: 'APPLIED' | 'UNCHANGED' | 'REFUSED';
  /** Whose queue may now be served. */
  readonly tenantId?: TenantId;
  readonly code?: ErrorCode;
}

interface Request {
  readonly jws: string;
  readonly dry_run: boolean;
  readonly requested_by: string;
  readonly tenant_id: TenantId | null;
  readonly state: 'PENDING' | ImportOutcome['state'];
  readonly code: ErrorCode | null;
  readonly diff: { readonly tenant?: TenantId } | null;
}

type Diff = { readonly [key: string]: Json };

/**
 * Carries out one request of `licence_imports`: signature, then every check of `checkGrant`, then grant, periods,
 * allocations, event, audit and outcome in one transaction, or the refusal with its audit in one. A dry run ends
 * UNCHANGED with the diff. Key (request): a repeat returns the outcome. Locks: request, tenant, the audit trail.
 * Throws NOT_FOUND if there is no such request.
 */
export async function importGrant(db: Db, importId: string, deps: ImportDeps): Promise<ImportOutcome> {
  const request = await readRequest(db, importId);
  if (request.state !== 'PENDING') return outcomeOf(request);
  try {
    const file = parseGrantFile(request.jws);
    await verifyGrantSignature(file, deps.issuers);
    return await inTransaction(db, (tx) => applyGrant(tx, importId, file, deps));
  } catch (error) {
    if (!(error instanceof ProoflineError) || !error.code.startsWith('GRANT_')) throw error;
    return await inTransaction(db, (tx) => refuseGrant(tx, importId, error, deps.clock.nowMicros()));
  }
}

async function applyGrant(tx: Tx, importId: string, file: GrantFile, deps: ImportDeps): Promise<ImportOutcome> {
  const request = await readRequest(tx, importId, 'FOR UPDATE');
  if (request.state !== 'PENDING') return outcomeOf(request);
  const { grant, hash } = file;
  await lockTenant(tx, grant.tenant);
  const now = deps.clock.nowMicros();
  const checked = checkGrant(grant, hash, await readContext(tx, grant, request, deps, now));
  if (checked === 'unchanged') {
    const diff = { grantId: grant.grantId, tenant: grant.tenant };
    await finish(tx, importId, now, 'UNCHANGED', 'this file was imported before; nothing changed', diff);
    return { state: 'UNCHANGED', tenantId: grant.tenant };
  }
  const due = duePeriods(checked, now);
  const diff = describe(checked, hash, due.periods as unknown as Json);
  if (request.dry_run) {
    await finish(tx, importId, now, 'UNCHANGED', 'dry run: the import would be applied; nothing changed', diff);
    return { state: 'UNCHANGED', tenantId: grant.tenant };
  }
  await tx.query(
    `INSERT INTO licence_grants (id, hash, tenant_id, seq, kind, jws, payload, not_before, not_after, imported_by, imported_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      checked.grantId,
      fromHex(hash),
      checked.tenant,
      checked.seq,
      checked.kind,
      request.jws,
      JSON.stringify(checked),
      checked.notBefore,
      checked.notAfter ?? null,
      request.requested_by,
      now,
    ],
  );
  await insertPeriods(tx, checked, due, now);
  await tx.query("INSERT INTO events (at, type, tenant_id, payload) VALUES ($1, 'license.imported', $2, $3)", [
    now,
    checked.tenant,
    JSON.stringify(diff),
  ]);
  await finish(tx, importId, now, 'APPLIED', null, diff);
  const by = { at: now, actor: request.requested_by, tenantId: checked.tenant };
  await appendAudit(tx, { ...by, action: 'licence.imported', subject: checked.grantId, detail: { importId, ...diff } });
  return { state: 'APPLIED', tenantId: checked.tenant };
}

async function refuseGrant(tx: Tx, importId: string, error: ProoflineError, now: string): Promise<ImportOutcome> {
  const request = await readRequest(tx, importId, 'FOR UPDATE');
  if (request.state !== 'PENDING') return outcomeOf(request);
  await tx.query(
    "UPDATE licence_imports SET state = 'REFUSED', code = $2, detail = $3, finished_at = $4 WHERE id = $1",
    [importId, error.code, error.detail, now],
  );
  await appendAudit(tx, {
    at: now,
    actor: request.requested_by,
    ...(request.tenant_id !== null && { tenantId: request.tenant_id }),
    action: 'licence.import_refused',
    subject: importId,
    detail: { code: error.code, dryRun: request.dry_run },
  });
  return { state: 'REFUSED', code: error.code };
}

async function readContext(
  tx: Tx,
  grant: Grant,
  request: Request,
  deps: ImportDeps,
  now: string,
): Promise<GrantContext> {
  const mayKnow = request.tenant_id === null || request.tenant_id === grant.tenant;
  const tenants = await tx.query('SELECT FROM tenants WHERE id = $1', [grant.tenant]);
  const { rows: same } = await tx.query<{ hash: Uint8Array }>('SELECT hash FROM licence_grants WHERE id = $1', [
    grant.grantId,
  ]);
  const { rows: last } = await tx.query<{ id: string; seq: number; hash: Uint8Array }>(
    'SELECT id, seq, hash FROM licence_grants WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1',
    [grant.tenant],
  );
  const { rows: units } = await tx.query<{ id: OrgUnitId; path: readonly OrgUnitId[] }>(
    'SELECT id, path FROM org_units WHERE tenant_id = $1 AND id = ANY ($2::uuid[])',
    [grant.tenant, 'allocations' in grant ? grant.allocations.map((a) => a.orgUnit) : []],
  );
  const paths = new Map(units.map((unit) => [unit.id, unit.path]));
  return {
    instanceFingerprint: deps.instanceFingerprint,
    nowMs: Number((parseInstant(now) ?? 0n) / 1000n),
    isTenantKnown: mayKnow && tenants.rowCount === 1,
    ...(same[0] && { sameId: toHex(same[0].hash) }),
    ...(last[0] && { last: { grantId: last[0].id, seq: last[0].seq, hash: toHex(last[0].hash) } }),
    pathOf: (unit) => paths.get(unit),
  };
}

function describe(grant: BaseGrant, hash: string, periods: Json): Diff {
  const { grantId, tenant, kind, seq, quota, term, allocations, entitlements } = grant;
  return { grantId, tenant, kind, seq, hash, quota, term, allocations, entitlements, periods } as unknown as Diff;
}

async function finish(
  tx: Tx,
  importId: string,
  now: string,
  state: 'APPLIED' | 'UNCHANGED',
  detail: string | null,
  diff: Diff,
): Promise<void> {
  await tx.query('UPDATE licence_imports SET state = $2, detail = $3, diff = $4, finished_at = $5 WHERE id = $1', [
    importId,
    state,
    detail,
    JSON.stringify(diff),
    now,
  ]);
}

async function readRequest(db: Pick<Tx, 'query'>, importId: string, lock: '' | 'FOR UPDATE' = ''): Promise<Request> {
  const { rows } = await db.query<Request>(
    `SELECT jws, dry_run, requested_by, tenant_id, state, code, diff FROM licence_imports WHERE id = $1 ${lock}`,
    [importId],
  );
  if (rows[0] === undefined) throw new ProoflineError('NOT_FOUND', `no request ${importId} to import a grant`);
  return rows[0];
}

function outcomeOf(request: Request): ImportOutcome {
  return {
    state: request.state as ImportOutcome['state'],
    ...(request.diff?.tenant !== undefined && { tenantId: request.diff.tenant }),
    ...(request.code !== null && { code: request.code }),
  };
}
