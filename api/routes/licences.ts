/** Licences: import of a signed grant, what a tenant holds, and what it used. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { OrgUnitId, TenantId } from '../../domain/ids.ts';
import { revocationListState } from '../../domain/licence/revocation-list.ts';
import { type ImportRecord, readImportOutcome, requestImport } from '../../store/licence-imports.ts';
import { listGrants, listShares, readLicenceUsage, readRevocationList } from '../../store/licences.read.ts';
import { inTransaction } from '../../store/pool.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { callerOf } from '../caller.ts';
import { changeOrganisation, tenantAskedFor } from '../change-organisation.ts';
import type { ApiDeps, Route } from '../route.ts';

const READERS = {
  scope: 'licenses:read',
  roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'BILLING_OPERATOR', 'AUDITOR'],
} as const;
const IMPORTERS = { scope: 'licenses:import', roles: ['PLATFORM_ADMIN'] } as const;

const ADMINS = { scope: 'org:manage', roles: ['PLATFORM_ADMIN'] } as const;
const PLATFORM = { roles: ['PLATFORM_ADMIN'] } as const;

const OUTCOME_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 100;

export const licenceRoutes: readonly Route[] = [
  { method: 'post', path: '/v1/admin/licenses', access: IMPORTERS, body: 'grant', answer: importGrant },
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
  const outcome = await awaitOutcome(deps, id, tenant);
  if (outcome.state === 'REFUSED') throw new ProoflineError(outcome.code ?? 'GRANT_MALFORMED', outcome.detail ?? '');
  if (outcome.state === 'PENDING') res.status(202).set('Retry-After', '5');
  res.json(outcome);
}

/** The import is applied by a workflow; its row tells when it is over. */
async function awaitOutcome(deps: ApiDeps, id: string, tenant: TenantId | undefined): Promise<ImportRecord> {
  const untilMs = deps.clock.nowMs() + OUTCOME_WITHIN_MS;
  for (;;) {
    const outcome = await readImportOutcome(deps.db, id, tenant);
    if (outcome === undefined) throw new ProoflineError('NOT_FOUND');
    if (outcome.state !== 'PENDING' || deps.clock.nowMs() >= untilMs) return outcome;
    await sleep(LOOK_EVERY_MS);
  }
}

async function list(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const grants = await withTenant(deps.db, tenantAskedFor(req, res), listGrants);
  res.json({ data: grants, next: null });
}

async function readUsage(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const now = deps.clock.nowMicros();
  const usage = await withTenant(deps.db, tenantAskedFor(req, res), (tx) => readLicenceUsage(tx, now));
  res.json({
    ...usage,
    periods: usage.periods.map((period) => ({
      ...period,
      quota: period.quota.toString(),
      used: period.used.toString(),
    })),
  });
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
  const list = await inTransaction(deps.db, readRevocationList);
  if (list === undefined) throw new ProoflineError('NOT_FOUND');
  res.json({ ...list, state: revocationListState(list.nextUpdate, deps.clock.nowMs()) });
}
