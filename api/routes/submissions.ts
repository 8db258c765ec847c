/** Submissions: up to 10,000 proofs together, with the outcome of each item. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId, SubmissionId } from '../../domain/ids.ts';
import type { AcceptRequest } from '../../store/accept.ts';
import { readGeneration } from '../../store/proofs.read.ts';
import { readSubmission, type SubmissionRow } from '../../store/submissions.read.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { isOperator, scopeOf, tenantCaller } from '../caller.ts';
import { describeSubmission, hasEnded, submissionPath } from '../represent.ts';
import type { ApiDeps, Route } from '../route.ts';
import { submit } from '../submit.ts';
import { submittedOf, waitFor } from './requests.ts';

const READERS = { scope: 'proofs:read', roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'AUDITOR'] } as const;

export const submissionRoutes: readonly Route[] = [
  {
    method: 'post',
    path: '/v1/submissions',
    access: { scope: 'proofs:write' },
    body: 'submission',
    answer: submitMany,
  },
  { method: 'get', path: '/v1/submissions/{id}', access: READERS, answer: read },
];

async function submitMany(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = tenantCaller(res);
  const result = await submit(deps, caller, 'POST /v1/submissions', req.get('idempotency-key'), submittedOf(res));
  if (result.outcome === 'accepted') {
    const { request, earlier } = result;
    const earlierById = new Map<ProofId, readonly ProofId[]>();
    for (const { id, digest } of request.proofs) {
      const before = earlier.get(digest);
      if (before !== undefined) earlierById.set(id, before);
    }
    res.status(202).location(submissionPath(request.submission));
    res.json(describeSubmission(newRow(request), { settings: deps.settings, nowMs: deps.clock.nowMs() }, earlierById));
    return;
  }
  const row = await withTenant(deps.db, caller.tenant, (tx) => readSubmission(tx, result.submission));
  if (row === undefined) throw new ProoflineError('NOT_FOUND');
  res.status(200).location(submissionPath(row.id)).set('Idempotent-Replayed', 'true');
  res.json(describeSubmission(row, { settings: deps.settings, nowMs: deps.clock.nowMs() }));
}

async function read(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const id = req.params.id as string as SubmissionId;
  const tenant = await scopeOf(res, deps, id);
  const look = (): Promise<{ row: SubmissionRow; generation: number | undefined }> =>
    withTenant(deps.db, tenant, async (tx) => {
      const row = await readSubmission(tx, id);
      if (row === undefined) throw new ProoflineError('NOT_FOUND');
      return {
        row,
        generation: isOperator(res) && row.batch !== null ? await readGeneration(tx, row.batch) : undefined,
      };
    });
  let found = await look();
  const isOver = found.row.proofs.every(({ state }) => hasEnded(state));
  if (!isOver && (await waitFor(req, res, deps, { kind: 'submission', id, tenant }))) found = await look();
  const { row, generation } = found;
  res.json(
    describeSubmission(row, {
      settings: deps.settings,
      nowMs: deps.clock.nowMs(),
      ...(generation === undefined ? {} : { generation }),
    }),
  );
}

/** The row as it was just committed. */
function newRow(request: AcceptRequest): SubmissionRow {
  return {
    id: request.submission,
    reference: request.reference ?? null,
    anchorPolicy: request.anchorPolicy,
    anchorWindow: request.anchorWindow,
    anchorDeadline: request.anchorDeadline ?? null,
    receivedAt: request.receivedAt,
    refused: request.refused ?? [],
    batch: null,
    proofs: request.proofs.map(({ id, ordinal }) => ({ id, index: ordinal, state: 'RECEIVED' })),
  };
}
