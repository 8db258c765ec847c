import { setTimeout as delay } from 'node:timers/promises';
import type { BenchContext, Section } from '../figure.ts';
import { formatRequest, openConnection } from '../load/connection.ts';
import { newProof } from '../load/new-proof.ts';
import { show, spreadOf } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

interface Life {
  readonly totalMs: number;
  readonly acceptMs: number;
  /** From the last leaf queued to the checkpoint, and from the checkpoint to the token. */
  readonly waitsMs: number;
}

/** One proof alone on a resting system, again and again. */
export async function measureLone(context: BenchContext): Promise<Section> {
  const system = await context.system();
  await untilIdle(system);
  const repeats = context.quick ? 8 : 30;
  await runOne(system);
  const lives: Life[] = [];
  for (let i = 0; i < repeats; i++) {
    // Longer than every window, so that none is under way; not a multiple of one.
    await delay(1_537);
    lives.push(await runOne(system));
  }
  const row = (name: string, of: (life: Life) => number): string[] => {
    const { p50, p99 } = spreadOf(lives.map(of));
    return [name, show(p50), show(p99)];
  };
  return {
    title: 'A lone proof',
    method: `One client, one proof (policy NONE) each 1.5 s on a resting system, ${repeats} times: from the first byte of POST /v1/proofs to the answer of GET …?wait that shows the certificate. Waits are those for evidence: from the proof's seal to the moment its token was accepted, whatever part of it was work.`,
    table: [
      ['ms', 'p50', 'max'],
      row('end to end', (life) => life.totalMs),
      row('of these: accepted', (life) => life.acceptMs),
      row('of these: from seal to token', (life) => life.waitsMs),
      row('own overhead (the rest)', (life) => life.totalMs - life.waitsMs),
    ],
    notes: ['Aim: own overhead ≤ 200 ms.'],
  };
}

async function runOne({ stack, db }: System): Promise<Life> {
  const { apiUrl, apiKey } = stack.info;
  const connection = await openConnection(apiUrl);
  const startedMs = performance.now();
  const accepted = await connection.send(
    formatRequest('POST', '/v1/proofs?anchorPolicy=NONE', { apiKey, body: newProof() }),
  );
  const acceptMs = performance.now() - startedMs;
  const { id } = JSON.parse(accepted.body) as { id: string };
  const done = await connection.send(formatRequest('GET', `/v1/proofs/${id}?wait=30`, { apiKey }));
  const totalMs = performance.now() - startedMs;
  connection.close();
  if (!done.body.includes('CERTIFIED_NO_ANCHOR')) throw new Error(`not certified: ${done.body.slice(0, 300)}`);
  const { rows } = await db.query<{ waits: number }>(
    `SELECT extract(epoch FROM t.accepted_at - s.sealed_at)::float8 * 1000 AS waits FROM seals s JOIN leaves l ON l.proof_id = s.proof_id,
       LATERAL (SELECT accepted_at FROM timestamps WHERE size > l.index ORDER BY size LIMIT 1) t WHERE s.proof_id = $1`,
    [id],
  );
  return { totalMs, acceptMs, waitsMs: rows[0]?.waits ?? 0 };
}
