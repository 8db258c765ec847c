import { Client, Connection } from '@temporalio/client';
import type { BatchId } from '../../domain/ids.ts';
import { workflowIds } from '../../domain/ids.ts';
import { formatTlogProof, parseTlogProof } from '../../log/tlog-proof.ts';
import type { BenchContext, Section } from '../figure.ts';
import { runLoad } from '../load/run-load.ts';
import { show, spreadOf } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

const MILLION = 1_000_000n;

/** Bytes of receipt and bundle, and Temporal's events a batch, of what the run certified. */
export async function measureSizes(context: BenchContext): Promise<Section> {
  const system = await context.system();
  const { apiUrl: url, apiKey } = system.stack.info;
  // A few proofs of every policy, beside what earlier figures certified.
  for (const policy of ['NONE', 'REQUIRED']) {
    await runLoad({
      kind: 'certify',
      url,
      path: `/v1/proofs?anchorPolicy=${policy}`,
      apiKey,
      concurrency: 20,
      warmUpSeconds: 0,
      seconds: 2,
    });
  }
  await untilIdle(system);
  const sizes = await readSizes(system);
  const events = await readEvents(system);
  return {
    title: 'Bytes and events',
    method:
      'Receipts (C2SP tlog-proof) and bundles as GET /v1/proofs/{id}/receipt and …/bundle answer them, of 100 proofs certified last per policy; the receipt at 1,000,000 leaves is computed: the longest of them with a path of 20 hashes and the size in its checkpoint. Events: history length of closed batch workflows.',
    table: [
      ['what', 'p50', 'max', 'aim'],
      [`receipt at ${show(Number(sizes.logSize))} leaves, bytes`, show(sizes.receipt.p50), show(sizes.receipt.max), ''],
      ['receipt at 1,000,000 leaves, bytes (computed)', '', show(sizes.receiptAtMillion), '≤ 1,600'],
      ['bundle without anchor, bytes', show(sizes.bare.p50), show(sizes.bare.max), '≤ 10,000'],
      ['bundle with anchor, bytes', show(sizes.anchored.p50), show(sizes.anchored.max), '≤ 10,000'],
      [`Temporal events a batch (${events.batches} batches)`, show(events.p50), show(events.max), '≤ 22'],
    ],
    notes: [
      `Proofs a batch of those workflows: p50 ${show(events.proofs.p50)}, max ${show(events.proofs.max)}; the events do not grow with them.`,
    ],
  };
}

async function readSizes({ stack, db }: System) {
  const { apiUrl, apiKey } = stack.info;
  const headers = { authorization: `Bearer ${apiKey}` };
  const read = async (path: string): Promise<string> => {
    const response = await fetch(`${apiUrl}${path}`, { headers });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text.slice(0, 200)}`);
    return text;
  };
  const newest = async (state: string): Promise<string[]> => {
    const { rows } = await db.query<{ id: string }>(
      'SELECT id FROM proofs WHERE state = $1::proof_state AND tenant_id = $2 ORDER BY received_at DESC LIMIT 100',
      [state, stack.tenant],
    );
    return rows.map(({ id }) => id);
  };
  const anchored = await newest('CERTIFIED');
  const bare = await newest('CERTIFIED_NO_ANCHOR');
  const receipts: string[] = [];
  const bundles = { anchored: [] as number[], bare: [] as number[] };
  for (const [kind, ids] of [
    ['anchored', anchored],
    ['bare', bare],
  ] as const) {
    for (const id of ids) {
      receipts.push(await read(`/v1/proofs/${id}/receipt`));
      bundles[kind].push(Buffer.byteLength(await read(`/v1/proofs/${id}/bundle`)));
    }
  }
  const longest = receipts.reduce((a, b) => (b.length > a.length ? b : a), '');
  const { rows } = await db.query<{ size: bigint }>('SELECT max(size) AS size FROM log_head');
  return {
    logSize: rows[0]?.size ?? 0n,
    receipt: spreadOf(receipts.map((text) => Buffer.byteLength(text))),
    receiptAtMillion: sizeAtMillion(longest),
    anchored: spreadOf(bundles.anchored),
    bare: spreadOf(bundles.bare),
  };
}

/** The same receipt in a tree of a million leaves: 20 hashes, seven digits. */
function sizeAtMillion(text: string): number {
  const proof = parseTlogProof(text);
  const lines = proof.checkpoint.split('\n');
  lines[1] = `${MILLION}`;
  const path = Array.from({ length: 20 }, () => proof.path[0] ?? new Uint8Array(32));
  return Buffer.byteLength(formatTlogProof({ index: MILLION - 1n, path, checkpoint: lines.join('\n') }));
}

async function readEvents({ stack, db }: System) {
  const { rows } = await db.query<{ id: BatchId; generation: number; proof_count: number }>(
    "SELECT id, generation, proof_count FROM batches WHERE state = 'CLOSED' ORDER BY formed_at DESC LIMIT 200",
  );
  const connection = await Connection.connect({ address: stack.info.temporalAddress });
  const client = new Client({ connection });
  try {
    const lengths: number[] = [];
    for (const { id, generation } of rows) {
      const { historyLength } = await client.workflow.getHandle(workflowIds.certifyBatch(id, generation)).describe();
      lengths.push(Number(historyLength));
    }
    return { ...spreadOf(lengths), batches: lengths.length, proofs: spreadOf(rows.map((row) => row.proof_count)) };
  } finally {
    await connection.close();
  }
}
