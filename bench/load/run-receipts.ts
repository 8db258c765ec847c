import { setTimeout as delay } from 'node:timers/promises';
import { createPool } from '../../store/pool.ts';
import { type Connection, formatRequest, openConnection } from './connection.ts';
import type { Job, JobResult } from './job.ts';
import { newProof } from './new-proof.ts';

type Receipts = Extract<Job, { kind: 'receipts' }>;

const ID = /"id":"([0-9a-f-]{36})"/;
const CONNECTIONS = 100;
const TICK_MS = 2;
const POLL_MS = 5;
const SETTLE_MS = 15_000;

interface Seen {
  readonly size: bigint;
  readonly atMs: number;
}

/**
 * Each proof counts from the moment it was due to be sent until the first published checkpoint that covers its leaf
 * was seen at `/log/checkpoint`, read every 5 ms. Which leaf is whose is read from the store afterwards.
 */
export async function runReceipts(job: Receipts): Promise<JobResult> {
  const free = await Promise.all(Array.from({ length: CONNECTIONS }, () => openConnection(job.url)));
  const all = [...free];
  const dueMs = new Map<string, number>();
  const failures: Record<string, number> = {};
  const fail = (what: string): void => {
    failures[what] = (failures[what] ?? 0) + 1;
  };
  const watch = watchCheckpoints(job.url);
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const total = job.rate * job.seconds;
  const overdue: number[] = [];
  const underWay = new Set<Promise<void>>();

  const send = (connection: Connection, at: number): void => {
    const body = newProof();
    const sending = connection
      .send(formatRequest('POST', '/v1/proofs?anchorPolicy=NONE', { apiKey: job.apiKey, body }))
      .then(
        (answer) => {
          const id = ID.exec(answer.body)?.[1];
          if (answer.status === 202 && id !== undefined) dueMs.set(id, at);
          else fail(`${answer.status}`);
          const next = overdue.shift();
          if (next === undefined) free.push(connection);
          else send(connection, next);
        },
        () => fail('connection'),
      )
      .finally(() => underWay.delete(sending));
    underWay.add(sending);
  };
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1000) * job.rate));
    for (; sent < due; sent++) {
      const at = startedMs + (sent / job.rate) * 1000;
      const connection = free.pop();
      if (connection === undefined) overdue.push(at);
      else send(connection, at);
    }
    await delay(TICK_MS);
  }
  while (underWay.size > 0) await Promise.all(underWay);
  const { user, system } = process.cpuUsage(cpu);

  const indices = await readIndices(job.postgresUrl, [...dueMs.keys()]);
  const last = [...indices.values()].reduce((a, b) => (a > b ? a : b), 0n);
  await watch.until(last);
  const checkpoints = await watch.stop();
  for (const connection of all) connection.close();
  const latenciesMs: number[] = [];
  for (const [id, at] of dueMs) {
    const index = indices.get(id);
    const covering = index === undefined ? undefined : firstCovering(checkpoints, index);
    if (covering === undefined) fail('not covered');
    else latenciesMs.push(covering.atMs - at);
  }
  return {
    done: latenciesMs.length,
    seconds: job.seconds,
    latenciesMs,
    failures,
    cpuSeconds: (user + system) / 1e6,
    sample: [...dueMs.keys()].slice(-200),
  };
}

/** Checkpoint sizes only grow. */
function firstCovering(checkpoints: readonly Seen[], index: bigint): Seen | undefined {
  let low = 0;
  let high = checkpoints.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((checkpoints[middle]?.size ?? 0n) > index) high = middle;
    else low = middle + 1;
  }
  return checkpoints[low];
}

function watchCheckpoints(url: string) {
  const seen: Seen[] = [];
  let stopped = false;
  const running = (async () => {
    const connection = await openConnection(url);
    const ask = formatRequest('GET', '/log/checkpoint');
    while (!stopped) {
      const { status, body } = await connection.send(ask);
      const size = status === 200 ? BigInt(body.split('\n')[1] ?? '0') : 0n;
      if (size > (seen.at(-1)?.size ?? 0n)) seen.push({ size, atMs: performance.now() });
      await delay(POLL_MS);
    }
    connection.close();
  })();
  return {
    async until(index: bigint): Promise<void> {
      const deadline = performance.now() + SETTLE_MS;
      while ((seen.at(-1)?.size ?? 0n) <= index && performance.now() < deadline) await delay(POLL_MS);
    },
    async stop(): Promise<readonly Seen[]> {
      stopped = true;
      await running;
      return seen;
    },
  };
}

/** The leaf of each proof, once all have one. */
async function readIndices(postgresUrl: string, ids: readonly string[]): Promise<ReadonlyMap<string, bigint>> {
  const db = createPool({ url: postgresUrl, max: 1, applicationName: 'bench', onError: () => undefined });
  try {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const { rows } = await db.query<{ proof_id: string; index: bigint }>(
        'SELECT proof_id, index FROM leaves WHERE proof_id = ANY ($1::uuid[])',
        [ids],
      );
      if (rows.length === ids.length || performance.now() > deadline)
        return new Map(rows.map((row) => [row.proof_id, row.index]));
      await delay(200);
    }
  } finally {
    await db.end();
  }
}
