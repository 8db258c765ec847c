import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { BatchId, ProofId } from '../../domain/ids.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { failProofs } from '../../store/seals.ts';
import { createTestClient, newProof, ok, type ProofView, type TestClient } from './client.ts';

let dataDir: string;
let stack: Stack;
let client: TestClient;
let owner: Db;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proofline-e2e-'));
  stack = await startStack({
    dataDir,
    ports: 'any',
    logLevel: 'warn',
    consensusDelayMs: 30,
    settings: { workers: { PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS: '200', PROOFLINE_TIMESTAMP_WINDOW_MS: '100' } },
  });
  client = createTestClient(stack);
  owner = createPool({ url: stack.info.postgresUrl, max: 2, applicationName: 'e2e', onError: () => undefined });
}, 120_000);

afterAll(async () => {
  await owner?.end();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
}, 60_000);

const part = (name: string) => {
  const found = stack.parts.get(name);
  if (found === undefined) throw new Error(`no part ${name}`);
  return found;
};
const submit = () =>
  ok<ProofView>(client.request('POST', '/v1/proofs?anchorPolicy=REQUIRED', { body: newProof() }), 202);
const command = (proof: ProofView, verb: string) =>
  client.request('POST', `/v1/proofs/${proof.id}/${verb}`, {
    body: { reason: 'a drill' },
    key: stack.info.operatorKey,
  });
const batchOf = async (proof: ProofView): Promise<{ id: BatchId; state: string } | undefined> =>
  (
    await owner.query(
      `SELECT b.id, b.state FROM proofs p JOIN submissions s ON s.id = p.submission_id JOIN batches b ON b.id = coalesce(p.batch_id, s.batch_id) WHERE p.id = $1`,
      [proof.id],
    )
  ).rows[0];
async function untilBatchIs(proof: ProofView, state: string): Promise<BatchId> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const batch = await batchOf(proof);
    if (batch?.state === state) return batch.id;
    if (Date.now() > deadline) throw new Error(`the batch of ${proof.id} is ${batch?.state}, not ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('a support verb on the running system', () => {
  it('cancels a proof whose batch cannot be sealed; the batch ends once the signer is back', async () => {
    await part('signer').stop();
    const proof = await submit();
    await untilBatchIs(proof, 'FORMED');
    expect((await command(proof, 'cancel')).status).toBe(200);
    expect((await command(proof, 'cancel')).status).toBe(409);
    await part('signer').start();
    await untilBatchIs(proof, 'CLOSED');
    expect((await client.timeline(proof.id)).map((step) => step.state)).toEqual(['RECEIVED', 'CANCELLED']);
  }, 60_000);

  it('certifies a timestamped proof without its anchor while the ledger is away', async () => {
    await part('hedera').stop();
    const proof = await submit();
    await client.untilState(proof.id, ['TIMESTAMPED']);
    expect((await command(proof, 'certify-without-anchor')).status).toBe(200);
    await client.untilState(proof.id, ['CERTIFIED_NO_ANCHOR']);
    await untilBatchIs(proof, 'CLOSED');
    await part('hedera').start();
  }, 60_000);

  it('is applied while Temporal is down, before any batch runs, and the batch starts and ends when it is back', async () => {
    await part('temporal').stop();
    const [cancelled, rejected] = [await submit(), await submit()];
    expect((await command(cancelled, 'cancel')).status).toBe(200);
    expect((await command(rejected, 'reject')).status).toBe(200);
    await part('temporal').start();
    for (const proof of [cancelled, rejected]) await untilBatchIs(proof, 'CLOSED');
    await client.untilState(rejected.id, ['REJECTED']);
  }, 60_000);

  it('retries a proof that failed at its seal: a new batch seals and certifies it', async () => {
    await part('signer').stop();
    const proof = await submit();
    const batch = await untilBatchIs(proof, 'FORMED');
    const failure = { proofId: proof.id as ProofId, code: 'SIGNER_REFUSED' as const, detail: 'a drill' };
    await failProofs(owner, { batch, stage: 'SEALED', failures: [failure], now: new Date().toISOString() });
    await part('signer').start();
    await untilBatchIs(proof, 'CLOSED');
    expect((await command(proof, 'retry')).status).toBe(200);
    await client.untilState(proof.id, ['CERTIFIED']);
    expect((await batchOf(proof))?.id).not.toBe(batch);
    expect((await client.timeline(proof.id)).map((step) => step.state)).toEqual([
      'RECEIVED',
      'FAILED',
      'RECEIVED',
      'SEALED',
      'TIMESTAMPED',
      'ANCHORED',
      'CERTIFIED',
    ]);
  }, 60_000);
});
