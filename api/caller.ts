/** Who is calling, as the access middleware left it on the response. */
import type { Response } from 'express';
import { ProoflineError } from '../domain/errors.ts';
import type { ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { BearerKey, TenantKey } from '../store/api-keys.ts';
import { readOwner } from '../store/proofs.read.ts';
import type { ApiDeps } from './route.ts';

export function setCaller(res: Response, caller: BearerKey): void {
  res.locals.caller = caller;
}

export function callerOf(res: Response): BearerKey | undefined {
  return res.locals.caller as BearerKey | undefined;
}

export function isOperator(res: Response): boolean {
  return callerOf(res)?.kind === 'operator';
}

/** The caller as a tenant's key. Throws FORBIDDEN for an operator: the route speaks of the caller's own tenant. */
export function tenantCaller(res: Response): TenantKey {
  const caller = callerOf(res);
  if (caller?.kind !== 'tenant') throw new ProoflineError('FORBIDDEN', "this takes a tenant's key");
  return caller;
}

/** In whose scope to look for a thing: the caller's tenant, or for an operator its owner's. Throws NOT_FOUND. */
export async function scopeOf(res: Response, deps: ApiDeps, id: ProofId | SubmissionId): Promise<TenantId> {
  const caller = callerOf(res);
  if (caller?.kind === 'tenant') return caller.tenant;
  const owner = await readOwner(deps.db, id);
  if (owner === undefined) throw new ProoflineError('NOT_FOUND');
  return owner;
}
