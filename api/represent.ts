/** How proofs and submissions look from outside: the shapes of the contract. */
import { type BatchId, type ProofId, type SubmissionId, workflowIds } from '../domain/ids.ts';
import type { ProofState } from '../domain/states.ts';
import type { ProofRow } from '../store/proofs.read.ts';
import type { SubmissionRow } from '../store/submissions.read.ts';
import type { components } from './generated/contract.ts';
import type { ApiSettings } from './route.ts';
import { describeStages, describeSubmissionStages } from './stages.ts';

export type ProofBody = components['schemas']['Proof'];
export type SubmissionBody = components['schemas']['Submission'];

export interface View {
  readonly settings: ApiSettings;
  readonly nowMs: number;
  /** Set for operators: the batch's generation, which its workflow's id names. */
  readonly generation?: number;
}

export function describeProof(row: ProofRow, view: View): ProofBody {
  return {
    id: row.id,
    state: row.state,
    digest: row.digest,
    reference: row.reference,
    submission: row.submission,
    receivedAt: row.receivedAt,
    certifiedAt: row.certifiedAt,
    ...(row.failure === null ? {} : { failure: row.failure as unknown as NonNullable<ProofBody['failure']> }),
    earlier: [...row.earlier],
    stages: describeStages(row, view.nowMs),
    ...operationsOf(row.batch, view),
    links: linksOf(row.id, view.settings),
  };
}

export function describeSubmission(
  row: SubmissionRow,
  view: View,
  earlier: ReadonlyMap<ProofId, readonly ProofId[]> = new Map(),
): SubmissionBody {
  const states: Partial<Record<ProofState, number>> = {};
  for (const { state } of row.proofs) states[state] = (states[state] ?? 0) + 1;
  const items: SubmissionBody['items'] = row.proofs.map(({ id, index, state }) => {
    const before = earlier.get(id);
    return { index, id, state, ...(before === undefined ? {} : { earlier: [...before] }) };
  });
  for (const { index, code, detail } of row.refused) items.push({ index, error: { code, detail } });
  if (row.refused.length > 0) items.sort((a, b) => a.index - b.index);
  return {
    id: row.id,
    final: row.proofs.every(({ state }) => hasEnded(state)),
    reference: row.reference,
    anchorPolicy: row.anchorPolicy,
    anchorWindow: row.anchorWindow,
    anchorDeadline: row.anchorDeadline,
    receivedAt: row.receivedAt,
    accepted: row.proofs.length,
    refused: row.refused.length,
    states: states as Record<string, number>,
    stages: describeSubmissionStages(
      row,
      row.proofs.map(({ state }) => state),
      view.nowMs,
    ),
    items,
    ...operationsOf(row.batch, view),
    links: { self: `${view.settings.publicUrl}${submissionPath(row.id)}` },
  };
}

/** Whether waiting for it is over: final, or FAILED, which only support can move. */
export function hasEnded(state: ProofState): boolean {
  switch (state) {
    case 'RECEIVED':
    case 'SEALED':
    case 'TIMESTAMPED':
    case 'ANCHORED':
    case 'AWAITING_LICENSE':
      return false;
    case 'CERTIFIED':
    case 'CERTIFIED_NO_ANCHOR':
    case 'FAILED':
    case 'REJECTED':
    case 'CANCELLED':
      return true;
  }
}

export function proofPath(id: ProofId): string {
  return `/v1/proofs/${id}`;
}

export function submissionPath(id: SubmissionId): string {
  return `/v1/submissions/${id}`;
}

function linksOf(id: ProofId, { publicUrl }: ApiSettings): ProofBody['links'] {
  const self = `${publicUrl}${proofPath(id)}`;
  return {
    self,
    timeline: `${self}/timeline`,
    bundle: `${self}/bundle`,
    receipt: `${self}/receipt`,
    certificate: `${self}/certificate`,
    pdf: `${self}/certificate.pdf`,
    disclosure: `${self}/disclosure`,
  };
}

function operationsOf(
  batch: BatchId | null,
  { generation, settings: { temporalUi } }: View,
): Pick<ProofBody, 'operations'> {
  if (batch === null || generation === undefined) return {};
  const workflowId = workflowIds.certifyBatch(batch, generation);
  if (temporalUi === undefined) return { operations: { workflowId } };
  const { url, namespace } = temporalUi;
  return {
    operations: {
      workflowId,
      workflowUrl: `${url}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}`,
    },
  };
}
