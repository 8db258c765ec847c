/** The audit trail: who did what to what, hash-chained. Operators see all of it, a tenant what concerns it. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import { type AuditFilter, listAudit } from '../../store/audit.read.ts';
import { callerOf } from '../caller.ts';
import { formatPlace, parsePlace } from '../cursor.ts';
import type { ApiDeps, Route } from '../route.ts';
import { checkInstant } from './requests.ts';

const READERS = { scope: 'audit:read', roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'AUDITOR'] } as const;

export const auditRoutes: readonly Route[] = [
  { method: 'get', path: '/v1/admin/audit', access: READERS, answer: list },
];

async function list(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const {
    tenant_id: asked,
    cursor,
    limit = 100,
    ...filter
  } = req.query as unknown as Pick<AuditFilter, 'actor' | 'action' | 'subject' | 'from' | 'to'> & {
    tenant_id?: TenantId;
    cursor?: string;
    limit?: number;
  };
  for (const at of [filter.from, filter.to]) checkInstant(at);
  const tenant = tenantOf(res, asked);
  const entries = await listAudit(deps.db, {
    ...filter,
    ...(tenant !== undefined && { tenant }),
    ...(cursor !== undefined && { before: positionOf(cursor) }),
    limit: limit + 1,
  });
  const data = entries.slice(0, limit);
  const last = data.at(-1);
  res.json({
    data: data.map((entry) => ({ ...entry, id: entry.id.toString() })),
    next: entries.length > limit && last !== undefined ? formatPlace('audit', [last.id.toString()]) : null,
  });
}

/** A tenant's key speaks of its own; an operator may name one, or none for the whole trail. Throws NOT_FOUND. */
function tenantOf(res: Response, asked: TenantId | undefined): TenantId | undefined {
  const caller = callerOf(res);
  if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
  if (caller.kind !== 'tenant') return asked;
  if (asked !== undefined && asked !== caller.tenant) throw new ProoflineError('NOT_FOUND');
  return caller.tenant;
}

function positionOf(cursor: string): bigint {
  const [id] = parsePlace('audit', cursor, [(part) => /^[1-9]\d{0,17}$/.test(part)]);
  return BigInt(id);
}
