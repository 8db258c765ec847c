/** Asks for a change of a tenant's org tree or shares, and waits for the workflow that applies it. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import { type OrgChange, type OrgChangeRecord, readOrgChange, requestOrgChange } from '../store/org-changes.ts';
import { withTenant } from '../store/tenant-scope.ts';
import { callerOf } from './caller.ts';
import type { ApiDeps } from './route.ts';
import { waitUntil } from './routes/requests.ts';

const OUTCOME_WITHIN_MS = 5_000;

/** An operator names the tenant; a tenant's key may only name its own. Throws REQUEST_INVALID or NOT_FOUND. */
export function tenantAskedFor(req: Request, res: Response): TenantId {
  const caller = callerOf(res);
  const { tenant_id: asked } = req.query as unknown as { tenant_id?: TenantId };
  if (caller?.kind === 'tenant') {
    if (asked !== undefined && asked !== caller.tenant) throw new ProoflineError('NOT_FOUND');
    return caller.tenant;
  }
  if (asked === undefined) throw new ProoflineError('REQUEST_INVALID', 'tenant_id is missing');
  return asked;
}

/** Answers 200 once the change is applied, the code of its refusal, or 202 with its link after five seconds. Waits no longer than the client. */
export async function changeOrganisation(req: Request, res: Response, deps: ApiDeps, change: OrgChange): Promise<void> {
  const caller = callerOf(res);
  if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
  const tenantId = tenantAskedFor(req, res);
  const id = deps.newId();
  const request = { id, tenantId, change, requestedBy: `key:${caller.id}`, at: deps.clock.nowMicros() };
  await withTenant(deps.db, tenantId, async (tx) => {
    // An operator may name a tenant that there is not.
    if ((await tx.query('SELECT FROM tenants WHERE id = $1', [tenantId])).rowCount === 0)
      throw new ProoflineError('NOT_FOUND');
    await requestOrgChange(tx, request);
  });
  await waitUntil(res, deps, { kind: 'change', id, tenant: tenantId }, OUTCOME_WITHIN_MS);
  const outcome = await withTenant(deps.db, tenantId, (tx) => readOrgChange(tx, id));
  if (outcome === undefined) throw new ProoflineError('NOT_FOUND');
  if (outcome.state === 'REFUSED') throw refusalOf(outcome);
  if (outcome.state === 'PENDING') res.status(202).set('Retry-After', '5');
  // An operator has to name the tenant there too.
  const scope = caller.kind === 'operator' ? `?tenant_id=${tenantId}` : '';
  res.location(`/v1/admin/org-changes/${id}${scope}`).json({
    ...outcome,
    ...('unit' in change && { orgUnit: change.unit }),
  });
}

function refusalOf({ code, detail }: OrgChangeRecord): ProoflineError {
  return new ProoflineError(code ?? 'ORG_TREE_INVALID', detail ?? '');
}
