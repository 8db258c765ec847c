import { fromHex, toHex } from '../domain/bytes.ts';
import type { Json } from '../domain/canonical-json.ts';
import { type Clock, toMicros } from '../domain/clock.ts';
import { type ErrorCode, ProoflineError } from '../domain/errors.ts';
import type { OrgUnitId, TenantId } from '../domain/ids.ts';
import { addShares, namedGrant } from '../domain/licence/check-amendment.ts';
import { checkGrant, type GrantContext } from '../domain/licence/check-grant.ts';
import { type BaseGrant, type Grant, type GrantFile, parseGrantFile } from '../domain/licence/grant.ts';
import { type IssuerKeys, verifyGrantSignature } from '../domain/licence/issuers.ts';
import { parseRevocationList, REVOCATION_LIST_TYP, type RevocationList } from '../domain/licence/revocation-list.ts';
import { type SignedFile, typeOfFile } from '../domain/licence/signed-file.ts';
import { endOfTerm } from '../domain/licence/terms.ts';
import { parseInstant } from '../domain/time.ts';
import { appendAudit } from './audit.ts';
import { advanceGrants } from './licence-amendments.ts';
import { duePeriods, insertPeriods } from './licence-periods.ts';
import { lockTenant } from './licence-rooms.ts';
import { writeShares } from './licence-shares.ts';
import { readAmendedGrant } from './licences.amended.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { takeRevocationList } from './revocation-lists.ts';
import { ringDone } from './ring-done.ts';

export interface ImportDeps {
  readonly clock: Clock;
  readonly issuers: IssuerKeys;
  /** Of this instance, hex. */
  readonly instanceFingerprint: string;
}

/** How a request to import ended. */
export interface ImportOutcome {
  readonly state: 'APPLIED' | 'UNCHANGED' | 'REFUSED';
  /** Whose queue may now be served; absent for a revocation list, which concerns every tenant. */
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
    if (typeOfFile(request.jws) === REVOCATION_LIST_TYP) {
      const list = parseRevocationList(request.jws);
      await verifyGrantSignature(list, deps.issuers);
      return await inTransaction(db, (tx) => applyList(tx, importId, list, deps));
    }
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
  const diff = await describe(tx, grant, hash, now);
  if (request.dry_run) {
    await finish(tx, importId, now, 'UNCHANGED', 'dry run: the import would be applied; nothing changed', diff);
    return { state: 'UNCHANGED', tenantId: grant.tenant };
  }
  await insertGrant(tx, grant, { hash, jws: request.jws, by: request.requested_by, now });
  await tx.query("INSERT INTO events (at, type, tenant_id, payload) VALUES ($1, 'license.imported', $2, $3)", [
    now,
    grant.tenant,
    JSON.stringify(diff),
  ]);
  await finish(tx, importId, now, 'APPLIED', null, diff);
  const by = { at: now, actor: request.requested_by, tenantId: grant.tenant };
  await appendAudit(tx, { ...by, action: 'licence.imported', subject: grant.grantId, detail: { importId, ...diff } });
  return { state: 'APPLIED', tenantId: grant.tenant };
}

/** Writes a checked grant and what follows from it now. Locks: the tenant must be locked. */
export async function insertGrant(
  tx: Tx,
  grant: Grant,
  file: { readonly hash: string; readonly jws: string; readonly by: string; readonly now: string },
): Promise<void> {
  const { now } = file;
  const isBase = grant.kind === 'BASE';
  // A list that is being taken in would not see this grant, nor we the list.
  if (isBase) await tx.query("SELECT pg_advisory_xact_lock_shared(hashtextextended('proofline.revocation_list', 0))");
  await tx.query(
    `INSERT INTO licence_grants (id, hash, tenant_id, seq, kind, jws, payload, not_before, not_after, imported_by, imported_at, units, ends_at, target_id, effective_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      grant.grantId,
      fromHex(file.hash),
      grant.tenant,
      grant.seq,
      grant.kind,
      file.jws,
      JSON.stringify(grant),
      grant.notBefore,
      grant.notAfter ?? null,
      file.by,
      now,
      isBase ? grant.quota : null,
      isBase ? endOf(grant) : null,
      namedGrant(grant) ?? null,
      isBase ? null : later(grant.notBefore, now),
    ],
  );
  if (isBase) {
    await tx.query(
      `UPDATE licence_grants g SET listed_at = (r ->> 'from')::timestamptz
       FROM (SELECT payload FROM licence_revocation_lists ORDER BY number DESC LIMIT 1) l, jsonb_array_elements(l.payload -> 'revoked') r
       WHERE g.id = $1 AND r ->> 'grantId' = g.id`,
      [grant.grantId],
    );
    await writeShares(tx, grant.tenant, grant.grantId, grant.allocations);
    await insertPeriods(tx, grant, duePeriods(grant, now), now);
  } else await advanceGrants(tx, grant.tenant, now);
}

/** A revocation list: which grants it takes away and gives back, and how many of this instance they are. */
async function applyList(
  tx: Tx,
  importId: string,
  list: SignedFile<RevocationList>,
  deps: ImportDeps,
): Promise<ImportOutcome> {
  const request = await readRequest(tx, importId, 'FOR UPDATE');
  if (request.state !== 'PENDING') return outcomeOf(request);
  if (request.tenant_id !== null)
    throw new ProoflineError('GRANT_KIND_UNSUPPORTED', 'a revocation list concerns every tenant of the instance');
  const now = deps.clock.nowMicros();
  const result = await takeRevocationList(tx, list, {
    instanceFingerprint: deps.instanceFingerprint,
    jws: request.jws,
    by: request.requested_by,
    isDryRun: request.dry_run,
    now,
  });
  if (result === 'unchanged') {
    await finish(tx, importId, now, 'UNCHANGED', 'this list holds already; nothing changed', {
      number: list.payload.number,
    });
    return { state: 'UNCHANGED' };
  }
  if (request.dry_run) {
    await finish(tx, importId, now, 'UNCHANGED', 'dry run: the list would be applied; nothing changed', result);
    return { state: 'UNCHANGED' };
  }
  await finish(tx, importId, now, 'APPLIED', null, result);
  const subject = `${list.payload.number}`;
  await appendAudit(tx, {
    at: now,
    actor: request.requested_by,
    action: 'licence.revocation_list_imported',
    subject,
    detail: { importId, ...result },
  });
  return { state: 'APPLIED' };
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
  await ringDone(tx, [importId]);
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
  const named = namedGrant(grant);
  const target = named === undefined ? undefined : await readAmendedGrant(tx, grant.tenant, named, now);
  const shares = [...('allocations' in grant ? grant.allocations : []), ...(target?.shares ?? [])];
  const { rows: units } = await tx.query<{ id: OrgUnitId; path: readonly OrgUnitId[] }>(
    'SELECT id, path FROM org_units WHERE tenant_id = $1 AND id = ANY ($2::uuid[])',
    [grant.tenant, shares.map((a) => a.orgUnit)],
  );
  const paths = new Map(units.map((unit) => [unit.id, unit.path]));
  return {
    instanceFingerprint: deps.instanceFingerprint,
    nowMs: Number((parseInstant(now) ?? 0n) / 1000n),
    isTenantKnown: mayKnow && tenants.rowCount === 1,
    ...(same[0] && { sameId: toHex(same[0].hash) }),
    ...(last[0] && { last: { grantId: last[0].id, seq: last[0].seq, hash: toHex(last[0].hash) } }),
    pathOf: (unit) => paths.get(unit),
    ...(target && { target }),
  };
}

/** What the import changes: of a BASE grant its periods, of another the grant that it names, before and after. */
async function describe(tx: Tx, grant: Grant, hash: string, now: string): Promise<Diff> {
  const { grantId, tenant, kind, seq } = grant;
  const common = { grantId, tenant, kind, seq, hash };
  if (grant.kind === 'BASE') {
    const { quota, term, allocations, entitlements } = grant;
    const { periods } = duePeriods(grant, now);
    return { ...common, quota, term, allocations, entitlements, periods } as unknown as Diff;
  }
  const target = await readAmendedGrant(tx, tenant, namedGrant(grant) ?? '', now);
  const effective = { target: target?.grantId, effectiveAt: later(grant.notBefore, now) };
  const before = { units: target?.units, allocations: target?.shares };
  switch (grant.kind) {
    case 'ADDENDUM': {
      const { quota, allocations, entitlements } = grant;
      const after = { units: (target?.units ?? 0) + quota, allocations: addShares(target?.shares ?? [], allocations) };
      return { ...common, ...effective, quota, allocations, entitlements, before, after } as unknown as Diff;
    }
    case 'TRANSFER': {
      const after = { units: target?.units, allocations: grant.allocations };
      return { ...common, ...effective, allocations: grant.allocations, before, after } as unknown as Diff;
    }
    case 'REVOCATION':
      return { ...common, ...effective, effect: target?.kind === 'BASE' ? 'revoked' : 'restored' } as unknown as Diff;
  }
}

function endOf(grant: BaseGrant): string | null {
  const ends = endOfTerm(grant.term);
  const ofTerm = ends === undefined ? undefined : toMicros(BigInt(ends) * 1000n);
  if (grant.notAfter === undefined) return ofTerm ?? null;
  return ofTerm === undefined || micros(grant.notAfter) < micros(ofTerm) ? grant.notAfter : ofTerm;
}

function later(a: string, b: string): string {
  return micros(a) > micros(b) ? a : b;
}

/** The parser, or our clock, has given its form. */
function micros(instant: string): bigint {
  return parseInstant(instant) ?? 0n;
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
  // Whoever waits for the outcome looks once this is committed.
  await ringDone(tx, [importId]);
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
