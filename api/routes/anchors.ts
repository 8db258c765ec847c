/** Anchors for operators (what stands, what waits for them, their verbs), and the anchor of a proof for its owner. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId, TenantId } from '../../domain/ids.ts';
import { endAlarm, readAlarms } from '../../store/alarms.ts';
import { type AnchorVerb, requestAnchorCommand, type SuspectEvidence } from '../../store/anchor-commands.ts';
import { listAnchors, readAnchorDetail, readAnchorOfProof } from '../../store/anchors.read.ts';
import type { AnchorState } from '../../store/anchors.ts';
import { readProof } from '../../store/proofs.read.ts';
import { readTenantAnchoring, setTenantAnchoring, type TenantAnchoring } from '../../store/tenant-anchoring.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { readLedgers } from '../../store/trust.read.ts';
import { callerOf, scopeOf } from '../caller.ts';
import { describeAnchor, describeAnchorDetail } from '../represent-anchor.ts';
import type { ApiDeps, Route } from '../route.ts';

const OPERATORS = { roles: ['SUPPORT_OPERATOR', 'PLATFORM_ADMIN'] } as const;
const LOOKERS = { roles: ['SUPPORT_OPERATOR', 'PLATFORM_ADMIN', 'AUDITOR'] } as const;
const READERS = { scope: 'proofs:read', ...LOOKERS } as const;
const ADMIN = { roles: ['PLATFORM_ADMIN'] } as const;

const OUTCOME_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 100;

export const anchorRoutes: readonly Route[] = [
  { method: 'get', path: '/v1/proofs/{id}/anchor', access: READERS, answer: sendAnchorOfProof },
  { method: 'get', path: '/v1/admin/anchors', access: LOOKERS, answer: list },
  { method: 'get', path: '/v1/admin/anchors/{size}', access: LOOKERS, answer: read },
  { method: 'post', path: '/v1/admin/anchors/{size}/retry', access: OPERATORS, body: 'command', answer: retry },
  {
    method: 'post',
    path: '/v1/admin/anchors/{size}/resolve-suspect',
    access: OPERATORS,
    body: 'command',
    answer: resolveSuspect,
  },
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

async function list(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { state, below, limit = 50 } = req.query as unknown as { state?: AnchorState; below?: string; limit?: number };
  const anchors = await listAnchors(deps.db, {
    origin: deps.settings.origin,
    ...(state === undefined ? {} : { state }),
    ...(below === undefined ? {} : { below: BigInt(below) }),
    limit,
  });
  const ledgers = await readLedgers(deps.db);
  const last = anchors.at(-1);
  res.json({
    data: anchors.map((anchor) => describeAnchor(anchor, ledgers)),
    next: last !== undefined && anchors.length === limit ? last.size.toString() : null,
  });
}

async function read(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const detail = await look(req, deps);
  res.json(describeAnchorDetail(detail, await readLedgers(deps.db)));
}

async function retry(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { reason } = req.body as { reason: string };
  await command('retry', reason, undefined, req, res, deps);
}

async function resolveSuspect(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { decision, reason, evidence, distrustedMirrors } = req.body as {
    decision: 'accept' | 'abandon';
    reason: string;
    evidence: string;
    distrustedMirrors?: string[];
  };
  const rests = { statement: evidence, distrustedMirrors: [...new Set(distrustedMirrors ?? [])] };
  await command(decision, reason, rests, req, res, deps);
}

/** Writes the command and waits for the workflow to decide it: 200, the code of its refusal, or 202. */
async function command(
  verb: AnchorVerb,
  reason: string,
  evidence: SuspectEvidence | undefined,
  req: Request,
  res: Response,
  deps: ApiDeps,
): Promise<void> {
  const caller = callerOf(res);
  if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
  const id = deps.newId();
  await requestAnchorCommand(deps.db, {
    id,
    ...keyOf(req, deps),
    verb,
    actor: `key:${caller.id}`,
    reason,
    ...(evidence === undefined ? {} : { evidence }),
    at: deps.clock.nowMicros(),
  });
  const untilMs = deps.clock.nowMs() + OUTCOME_WITHIN_MS;
  for (;;) {
    const detail = await look(req, deps);
    const asked = detail.commands.find((one) => one.id === id);
    if (asked?.state === 'REFUSED')
      throw new ProoflineError('TRANSITION_NOT_ALLOWED', asked.detail ?? asked.code ?? '');
    if (asked?.state === 'APPLIED' || deps.clock.nowMs() >= untilMs) {
      if (asked?.state !== 'APPLIED') res.status(202).set('Retry-After', '5');
      res.location(`/v1/admin/anchors/${detail.size}`);
      res.json(describeAnchorDetail(detail, await readLedgers(deps.db)));
      return;
    }
    await sleep(LOOK_EVERY_MS);
  }
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

const keyOf = (req: Request, deps: ApiDeps) => ({
  origin: deps.settings.origin,
  size: BigInt(req.params.size as string),
});

async function look(req: Request, deps: ApiDeps) {
  const detail = await readAnchorDetail(deps.db, keyOf(req, deps));
  if (detail === undefined) throw new ProoflineError('NOT_FOUND');
  return detail;
}
