/** The org tree of a tenant: read it, add a unit, move one with all below it. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import { isUuid, type OrgUnitId } from '../../domain/ids.ts';
import { hasOrgUnit, listOrgUnits, type UnitPosition } from '../../store/licences.read.ts';
import { readOrgChange } from '../../store/org-changes.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { changeOrganisation, tenantAskedFor } from '../change-organisation.ts';
import { formatPlace, parsePlace } from '../cursor.ts';
import type { ApiDeps, Route } from '../route.ts';

const ADMINS = { scope: 'org:manage', roles: ['PLATFORM_ADMIN'] } as const;
const READERS = { scope: 'licenses:read', roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'AUDITOR'] } as const;

export const orgUnitRoutes: readonly Route[] = [
  { method: 'get', path: '/v1/admin/org-units', access: READERS, answer: list },
  { method: 'post', path: '/v1/admin/org-units', access: ADMINS, body: 'change', answer: create },
  { method: 'post', path: '/v1/admin/org-units/{id}/move', access: ADMINS, body: 'change', answer: move },
  { method: 'get', path: '/v1/admin/org-changes/{id}', access: ADMINS, answer: readChange },
];

async function list(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { cursor, limit = 100 } = req.query as unknown as { cursor?: string; limit?: number };
  const after = cursor === undefined ? undefined : positionOf(cursor);
  const units = await withTenant(deps.db, tenantAskedFor(req, res), (tx) =>
    listOrgUnits(tx, { ...(after && { after }), limit: limit + 1 }),
  );
  const data = units.slice(0, limit);
  const last = data.at(-1);
  const next = units.length > limit && last !== undefined ? formatPlace('org-units', [`${last.depth}`, last.id]) : null;
  res.json({ data, next });
}

function positionOf(cursor: string): UnitPosition {
  const [depth, id] = parsePlace('org-units', cursor, [(part) => /^\d{1,3}$/.test(part), isUuid]);
  return { depth: Number(depth), id: id as OrgUnitId };
}

async function create(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { name, parent } = req.body as { name: string; parent: OrgUnitId };
  const unit = deps.newId() as OrgUnitId;
  await changeOrganisation(req, res, deps, { kind: 'CREATE_UNIT', unit, parent, name });
}

async function move(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const unit = req.params.id as string as OrgUnitId;
  const { parent } = req.body as { parent: OrgUnitId };
  if (!(await withTenant(deps.db, tenantAskedFor(req, res), (tx) => hasOrgUnit(tx, unit))))
    throw new ProoflineError('NOT_FOUND');
  await changeOrganisation(req, res, deps, { kind: 'MOVE_UNIT', unit, parent });
}

async function readChange(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const id = req.params.id as string;
  const change = await withTenant(deps.db, tenantAskedFor(req, res), (tx) => readOrgChange(tx, id));
  if (change === undefined) throw new ProoflineError('NOT_FOUND');
  res.json(change);
}
