/** Licences: import of a signed grant, what a tenant holds, and what it used. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import { type ImportRecord, readImportOutcome, requestImport } from '../../store/licence-imports.ts';
import { listGrants, readLicenceUsage } from '../../store/licences.read.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { callerOf } from '../caller.ts';
import type { ApiDeps, Route } from '../route.ts';

const READERS = {
  scope: 'licenses:read',
  roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'BILLING_OPERATOR', 'AUDITOR'],
} as const;
const IMPORTERS = { scope: 'licenses:import', roles: ['PLATFORM_ADMIN'] } as const;

const OUTCOME_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 100;

export const licenceRoutes: readonly Route[] = [
  { method: 'post', path: '/v1/admin/licenses', access: IMPORTERS, body: 'grant', answer: importGrant },
  { method: 'get', path: '/v1/admin/licenses', access: READERS, answer: list },
  { method: 'get', path: '/v1/admin/licenses/usage', access: READERS, answer: readUsage },
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
  const { waiting, waitingByUnit, periods } = await withTenant(deps.db, tenantAskedFor(req, res), readLicenceUsage);
  res.json({
    waiting,
    waitingByUnit,
    periods: periods.map((period) => ({ ...period, quota: period.quota.toString(), used: period.used.toString() })),
  });
}

/** An operator names the tenant; a tenant's key may only name its own. Throws REQUEST_INVALID or NOT_FOUND. */
function tenantAskedFor(req: Request, res: Response): TenantId {
  const caller = callerOf(res);
  const { tenant_id: asked } = req.query as unknown as { tenant_id?: TenantId };
  if (caller?.kind === 'tenant') {
    if (asked !== undefined && asked !== caller.tenant) throw new ProoflineError('NOT_FOUND');
    return caller.tenant;
  }
  if (asked === undefined) throw new ProoflineError('REQUEST_INVALID', 'tenant_id is missing');
  return asked;
}
