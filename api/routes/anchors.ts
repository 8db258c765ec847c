/** Anchors for operators (those of the topic and of the registry contract, alarms, tenants), and the anchor of a proof for its owner. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId, TenantId } from '../../domain/ids.ts';
import { endAlarm, readAlarms } from '../../store/alarms.ts';
import { listAnchors, readAnchorDetail, readAnchorOfProof } from '../../store/anchors.read.ts';
import { listContractAnchors, readContractAnchorDetail } from '../../store/contract-anchors.read.ts';
import { readProof } from '../../store/proofs.read.ts';
import { readTenantAnchoring, setTenantAnchoring, type TenantAnchoring } from '../../store/tenant-anchoring.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { readLedgers } from '../../store/trust.read.ts';
import { callerOf, scopeOf } from '../caller.ts';
import {
  describeAnchor,
  describeAnchorDetail,
  describeContractAnchor,
  describeContractAnchorDetail,
} from '../represent-anchor.ts';
import type { ApiDeps, Route } from '../route.ts';
import { LOOKERS, OPERATORS, operateAnchors } from './anchor-verbs.ts';

const READERS = { scope: 'proofs:read', ...LOOKERS } as const;
const ADMIN = { roles: ['PLATFORM_ADMIN'] } as const;

export const anchorRoutes: readonly Route[] = [
  { method: 'get', path: '/v1/proofs/{id}/anchor', access: READERS, answer: sendAnchorOfProof },
  ...operateAnchors({
    medium: 'hcs',
    path: '/v1/admin/anchors',
    list: listAnchors,
    read: readAnchorDetail,
    describe: describeAnchor,
    describeDetail: describeAnchorDetail,
  }),
  ...operateAnchors({
    medium: 'contract',
    path: '/v1/admin/contract-anchors',
    list: listContractAnchors,
    read: readContractAnchorDetail,
    describe: describeContractAnchor,
    describeDetail: describeContractAnchorDetail,
  }),
  { method: 'get', path: '/v1/admin/alarms', access: LOOKERS, answer: listAlarms },
  { method: 'post', path: '/v1/admin/alarms/{number}/end', access: OPERATORS, body: 'command', answer: endOne },
  { method: 'get', path: '/v1/admin/tenants/{id}/anchoring', access: LOOKERS, answer: readAnchoring },
  { method: 'post', path: '/v1/admin/tenants/{id}/anchoring', access: ADMIN, body: 'command', answer: setAnchoring },
];

async function sendAnchorOfProof(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const id = req.params.id as string as ProofId;
  const tenant = await scopeOf(res, deps, id);
  const anchor = await withTenant(deps.db, tenant, async (tx) => {
    if ((await readProof(tx, id)) === undefined) throw new ProoflineError('NOT_FOUND');
    return readAnchorOfProof(tx, deps.settings.origin, id);
  });
  if (anchor === undefined) throw new ProoflineError('NOT_READY', 'no anchor covers the proof yet');
  res.json(describeAnchor(anchor, await readLedgers(deps.db)));
}

async function listAlarms(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { open = true } = req.query as unknown as { open?: boolean };
  res.json({ data: await readAlarms(deps.db, open), next: null });
}

async function endOne(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = callerOf(res);
  if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
  const { reason } = req.body as { reason: string };
  const id = req.params.number as string;
  await endAlarm(deps.db, { id, actor: `key:${caller.id}`, reason, at: deps.clock.nowMicros() });
  res.json({ data: await readAlarms(deps.db, true), next: null });
}

async function readAnchoring(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const tenant = req.params.id as string as TenantId;
  res.json(await withTenant(deps.db, tenant, (tx) => readTenantAnchoring(tx, tenant)));
}

async function setAnchoring(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = callerOf(res);
  if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
  const tenant = req.params.id as string as TenantId;
  const change = req.body as Partial<TenantAnchoring> & { reason: string };
  await setTenantAnchoring(deps.db, { ...change, tenant, actor: `key:${caller.id}`, at: deps.clock.nowMicros() });
  await readAnchoring(req, res, deps);
}
