import { setTimeout as delay } from 'node:timers/promises';
import type { BenchContext, Section } from '../figure.ts';
import { formatRequest, openConnection } from '../load/connection.ts';
import { newProof } from '../load/new-proof.ts';
import { readUse } from '../process-use.ts';
import { show } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

const PROOFS_EACH = 10_000;
const SAMPLE_MS = 1_000;

/** What every process needs of memory while a million proofs wait, and while they begin to be worked off. */
export async function measureBacklog(context: BenchContext): Promise<Section> {
  const system = await context.system();
  await untilIdle(system);
  const submissions = context.quick ? 10 : 100;
  const seconds = context.quick ? 15 : 60;
  const atRest = await readUse(system.stack.info.pids);

  const workers = system.stack.parts.get('workers');
  await workers?.stop();
  const startedMs = performance.now();
  await submitAll(system, submissions);
  const acceptSeconds = (performance.now() - startedMs) / 1000;
  const waiting = await readUse(system.stack.info.pids);

  await workers?.start();
  const peak = new Map<string, number>();
  for (const until = performance.now() + seconds * 1000; performance.now() < until; await delay(SAMPLE_MS))
    for (const [part, { memoryMiB }] of await readUse(system.stack.info.pids))
      peak.set(part, Math.max(peak.get(part) ?? 0, memoryMiB));
  const { rows } = await system.db.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM certificates WHERE signature IS NOT NULL AND signed_at > now() - make_interval(secs => $1)',
    [seconds],
  );
  const certified = rows[0]?.n ?? 0;
  context.say(`${show(certified)} certified in the ${seconds} s that were watched`);

  const mib = (of: ReadonlyMap<string, { readonly memoryMiB: number }>, part: string): string =>
    show(of.get(part)?.memoryMiB ?? Number.NaN);
  return {
    title: 'A backlog',
    method: `${show(submissions * PROOFS_EACH)} proofs (${submissions} submissions) accepted while the workers stand still, then worked off for ${seconds} s, memory (proportional set size, MiB) read every second. Postgres' share counts its shared buffers.`,
    table: [
      ['MiB', 'at rest', 'all waiting', 'peak at work'],
      ...[...peak.keys()]
        .sort()
        .map((part) => [part, mib(atRest, part), mib(waiting, part), show(peak.get(part) ?? Number.NaN)]),
    ],
    notes: [
      `Accepted at ${show((submissions * PROOFS_EACH) / acceptSeconds)} proofs/s; ${show(certified / seconds)}/s certified while watched, the queue full behind them.`,
      'Bounded: what a process holds does not grow with what waits.',
    ],
  };
}

async function submitAll({ stack }: System, submissions: number): Promise<void> {
  const { apiUrl, apiKey } = stack.info;
  const connection = await openConnection(apiUrl);
  for (let i = 0; i < submissions; i++) {
    const body = `${Array.from({ length: PROOFS_EACH }, newProof).join('\n')}\n`;
    const path = '/v1/submissions?anchorPolicy=NONE';
    const { status } = await connection.send(
      formatRequest('POST', path, { apiKey, body, type: 'application/x-ndjson' }),
    );
    if (status !== 202) throw new Error(`submission ${i}: ${status}`);
  }
  connection.close();
}
