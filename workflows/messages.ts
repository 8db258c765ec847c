/** Every signal, update and query of our workflows, and the search attributes: shared by workflows and the relay. */
import { defineSearchAttributeKey } from '@temporalio/common';
import { defineSignal, defineUpdate } from '@temporalio/workflow';

/** To `certifyBatch`: the evidence that the batch's policy asks for is complete. */
export const evidenceComplete = defineSignal('evidenceComplete');
/** To `certifyBatch`: a drain elsewhere drafted certificates of this batch. */
export const licencesGranted = defineSignal('licencesGranted');
/** To `certifyBatch`: support verbs were applied to proofs of this batch; Postgres has what they changed. */
export const commandsApplied = defineSignal('commandsApplied');
/** To any workflow in its slow phase: try again now. */
export const retryNow = defineSignal('retryNow');
/** To `anchorCheckpoint` and `anchorContract`: an operator decided about it; Postgres has what. */
export const anchorCommanded = defineSignal('anchorCommanded');
/** To `anchorCheckpoint` and `anchorContract`, after REJECTED: funds or configuration are mended. */
export const retryAnchor = defineUpdate<void>('retryAnchor');

/** Names and types as in temporal-config/search-attributes.yaml (a test compares). */
export const searchAttributes = {
  tenantIds: defineSearchAttributeKey('TenantIds', 'KEYWORD_LIST'),
  batchStage: defineSearchAttributeKey('BatchStage', 'KEYWORD'),
  waitReason: defineSearchAttributeKey('WaitReason', 'KEYWORD'),
  failureCode: defineSearchAttributeKey('FailureCode', 'KEYWORD'),
  batchSize: defineSearchAttributeKey('BatchSize', 'INT'),
} as const;

export type WaitReason = 'SIGNER' | 'STORE' | 'TSA' | 'LEDGER' | 'LICENSE' | 'EVIDENCE' | 'OPERATOR';
