/** Proofs: submit, list, read, follow. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId } from '../../domain/ids.ts';
import type { ProofState } from '../../domain/states.ts';
import type { AcceptRequest } from '../../store/accept.ts';
import { listProofs, type ProofRow, readGeneration, readProof, readTimeline } from '../../store/proofs.read.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { isOperator, scopeOf, tenantCaller } from '../caller.ts';
import { formatCursor, parseCursor } from '../cursor.ts';
import { describeProof, hasEnded, proofPath } from '../represent.ts';
import type { ApiDeps, Route } from '../route.ts';
import { submit } from '../submit.ts';
import { submittedOf, waitFor } from './requests.ts';

const READERS = { scope: 'proofs:read', roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'AUDITOR'] } as const;

export const proofRoutes: readonly Route[] = [
  {
    method: 'post',
    path: '/v1/proofs',
    access: { scope: 'proofs:write' },
    body: 'proof',
    remembersParameters: true,
    answer: submitProof,
  },
  { method: 'get', path: '/v1/proofs', access: { scope: 'proofs:read' }, answer: list },
  { method: 'get', path: '/v1/proofs/{id}', access: READERS, remembersParameters: true, answer: read },
  { method: 'get', path: '/v1/proofs/{id}/timeline', access: READERS, answer: readSteps },
];

async function submitProof(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = tenantCaller(res);
  const result = await submit(deps, caller, 'POST /v1/proofs', req.get('idempotency-key'), submittedOf(res));
  if (result.outcome === 'accepted') {
    const row = newRow(result.request, result.earlier);
    res
      .status(202)
      .location(proofPath(row.id))
      .json(describeProof(row, { settings: deps.settings, nowMs: deps.clock.nowMs() }));
    return;
  }
  const row = await withTenant(deps.db, caller.tenant, (tx) => readProof(tx, result.firstProof));
  if (row === undefined) throw new ProoflineError('NOT_FOUND');
  res.status(200).location(proofPath(row.id)).set('Idempotent-Replayed', 'true');
  res.json(describeProof(row, { settings: deps.settings, nowMs: deps.clock.nowMs() }));
}

async function list(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = tenantCaller(res);
  const { state, digest, reference, cursor, limit } = req.query as unknown as {
    state?: ProofState;
    digest?: string;
    reference?: string;
    cursor?: string;
    limit?: number;
  };
  const pageSize = limit ?? 50;
  const filter = {
    ...(state === undefined ? {} : { state }),
    ...(digest === undefined ? {} : { digest }),
    ...(reference === undefined ? {} : { reference }),
    ...(cursor === undefined ? {} : { after: parseCursor(cursor) }),
    limit: pageSize + 1,
  };
  const rows = await withTenant(deps.db, caller.tenant, (tx) => listProofs(tx, caller.tenant, filter));
  const page = rows.slice(0, pageSize);
  const last = page.at(-1);
  const view = { settings: deps.settings, nowMs: deps.clock.nowMs() };
  res.json({
    data: page.map((row) => describeProof(row, view)),
    next: rows.length > pageSize && last !== undefined ? formatCursor(last) : null,
  });
}

async function read(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const id = req.params.id as string as ProofId;
  const tenant = await scopeOf(res, deps, id);
  const look = async (): Promise<{ row: ProofRow; generation: number | undefined }> => {
    const row = await deps.reads.proof(tenant, id);
    if (row === undefined) throw new ProoflineError('NOT_FOUND');
    const batch = isOperator(res) ? row.batch : null;
    const generation =
      batch === null ? undefined : await withTenant(deps.db, tenant, (tx) => readGeneration(tx, batch));
    return { row, generation };
  };
  // Whoever waits is shown the proof once, at the end of the wait.
  const state = req.query.wait === undefined ? undefined : await deps.reads.state(tenant, id);
  if (state !== undefined && !hasEnded(state)) await waitFor(req, res, deps, { kind: 'proof', id, tenant });
  const { row, generation } = await look();
  res.json(
    describeProof(row, {
      settings: deps.settings,
      nowMs: deps.clock.nowMs(),
      ...(generation === undefined ? {} : { generation }),
    }),
  );
}

async function readSteps(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const id = req.params.id as string as ProofId;
  const tenant = await scopeOf(res, deps, id);
  const steps = await withTenant(deps.db, tenant, (tx) => readTimeline(tx, id));
  if (steps.length === 0) throw new ProoflineError('NOT_FOUND');
  res.json({ data: steps, next: null });
}

/** The row as it was just committed. */
function newRow(request: AcceptRequest, earlier: ReadonlyMap<string, readonly ProofId[]>): ProofRow {
  const proof = request.proofs[0];
  if (proof === undefined) throw new ProoflineError('SUBMISSION_EMPTY');
  return {
    id: proof.id,
    submission: request.submission,
    digest: { alg: proof.alg, value: proof.digest },
    reference: proof.reference ?? null,
    state: 'RECEIVED',
    receivedAt: request.receivedAt,
    certifiedAt: null,
    failure: null,
    anchorPolicy: request.anchorPolicy,
    anchorWindow: request.anchorWindow,
    batch: null,
    earlier: earlier.get(proof.digest) ?? [],
    steps: [{ state: 'RECEIVED', at: request.receivedAt }],
  };
}
