/** Licences: import of a signed grant, what a tenant holds, and what it used. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { OrgUnitId } from '../../domain/ids.ts';
import { readImportOutcome, requestImport } from '../../store/licence-imports.ts';
import {
  listGrants,
  listShares,
  type PeriodPosition,
  readLicenceUsage,
  readRevocationList,
} from '../../store/licences.read.ts';
import { inTransaction } from '../../store/pool.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { callerOf } from '../caller.ts';
import { changeOrganisation, tenantAskedFor } from '../change-organisation.ts';
import { formatPlace, isStoredInstant, parsePlace } from '../cursor.ts';
import type { ApiDeps, Route } from '../route.ts';
import { waitUntil } from './requests.ts';

const READERS = {
  scope: 'licenses:read',
  roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'BILLING_OPERATOR', 'AUDITOR'],
} as const;
const IMPORTERS = { scope: 'licenses:import', roles: ['PLATFORM_ADMIN'] } as const;

const ADMINS = { scope: 'org:manage', roles: ['PLATFORM_ADMIN'] } as const;
const PLATFORM = { roles: ['PLATFORM_ADMIN'] } as const;

const OUTCOME_WITHIN_MS = 5_000;

export const licenceRoutes: readonly Route[] = [
  { method: 'post', path: '/v1/admin/licenses', access: IMPORTERS, body: 'grant', answer: importGrant },
  { method: 'get', path: '/v1/admin/licenses/imports/{id}', access: IMPORTERS, answer: readImport },
  { method: 'get', path: '/v1/admin/licenses', access: READERS, answer: list },
  { method: 'get', path: '/v1/admin/licenses/usage', access: READERS, answer: readUsage },
  { method: 'get', path: '/v1/admin/licenses/allocations', access: READERS, answer: readAllocations },
  { method: 'post', path: '/v1/admin/licenses/allocations', access: ADMINS, body: 'change', answer: setAllocations },
  { method: 'get', path: '/v1/admin/licenses/revocation-list', access: PLATFORM, answer: readList },
  {
    method: 'post',
    path: '/v1/admin/licenses/revocation-list',
    access: PLATFORM,
    body: 'grant',
    answer: importGrant,
  },
];

async function importGrant(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = callerOf(res);
  if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
  const { dryRun = false } = req.query as unknown as { dryRun?: boolean };
  const tenant = caller.kind === 'tenant' ? caller.tenant : undefined;
  const id = await requestImport(deps.db, {
    id: deps.newId(),
    jws: req.body as string,
    dryRun,
    requestedBy: `key:${caller.id}`,
    ...(tenant === undefined ? {} : { tenantId: tenant }),
    at: deps.clock.nowMicros(),
  });
  let outcome = await readImportOutcome(deps.db, id, tenant);
  // The import is applied by a workflow; its row tells when it is over. A file that was imported before is over at once.
  if (outcome?.state === 'PENDING') {
    await waitUntil(res, deps, { kind: 'import', id }, OUTCOME_WITHIN_MS);
    outcome = await readImportOutcome(deps.db, id, tenant);
  }
  if (outcome === undefined) throw new ProoflineError('NOT_FOUND');
  if (outcome.state === 'REFUSED') throw new ProoflineError(outcome.code ?? 'GRANT_MALFORMED', outcome.detail ?? '');
  if (outcome.state === 'PENDING') res.status(202).set('Retry-After', '5');
  res.location(`/v1/admin/licenses/imports/${id}`).json(outcome);
}

/** What came of an import or a dry run, a refusal too: for whoever got a 202. */
async function readImport(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = callerOf(res);
  const tenant = caller?.kind === 'tenant' ? caller.tenant : undefined;
  const outcome = await readImportOutcome(deps.db, req.params.id as string, tenant);
  if (outcome === undefined) throw new ProoflineError('NOT_FOUND');
  res.json(outcome);
}

async function list(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const grants = await withTenant(deps.db, tenantAskedFor(req, res), listGrants);
  res.json({ data: grants, next: null });
}

async function readUsage(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const now = deps.clock.nowMicros();
  const { cursor, limit = 100 } = req.query as unknown as { cursor?: string; limit?: number };
  const after = cursor === undefined ? undefined : positionOf(cursor);
  const usage = await withTenant(deps.db, tenantAskedFor(req, res), (tx) =>
    readLicenceUsage(tx, now, { ...(after && { after }), limit: limit + 1 }),
  );
  const page = usage.periods.slice(0, limit);
  const last = page.at(-1);
  res.json({
    ...usage,
    periods: page.map((period) => ({ ...period, quota: period.quota.toString(), used: period.used.toString() })),
    next:
      usage.periods.length > limit && last !== undefined ? formatPlace('periods', [last.startsAt, last.grant]) : null,
  });
}

function positionOf(cursor: string): PeriodPosition {
  const isGrant = (part: string): boolean => /^[A-Za-z0-9._-]{1,64}$/.test(part);
  const [startsAt, grant] = parsePlace('periods', cursor, [isStoredInstant, isGrant]);
  return { startsAt, grant };
}

async function readAllocations(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const now = deps.clock.nowMicros();
  const shares = await withTenant(deps.db, tenantAskedFor(req, res), (tx) => listShares(tx, now));
  res.json({ data: shares.map((share) => ({ ...share, quota: share.quota.toString() })), next: null });
}

async function setAllocations(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { grant, allocations } = req.body as {
    grant: string;
    allocations: { orgUnit: OrgUnitId; limit: number | null }[];
  };
  await changeOrganisation(req, res, deps, { kind: 'SET_SHARES', grantId: grant, shares: allocations });
}

async function readList(_req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const list = await inTransaction(deps.db, (tx) => readRevocationList(tx, deps.clock.nowMicros()));
  if (list === undefined) throw new ProoflineError('NOT_FOUND');
  res.json(list);
}
