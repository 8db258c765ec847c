import type { BenchContext, Section } from '../figure.ts';
import { runLoad } from '../load/run-load.ts';
import { boundByCores, cpuBetween, readUse } from '../process-use.ts';
import { show, spreadOf } from '../statistics.ts';
import { untilIdle } from '../system.ts';

/** Large submissions, several in flight: how many proofs a second are certified. */
export async function measureBulk(context: BenchContext): Promise<Section> {
  const system = await context.system();
  await untilIdle(system);
  const submissions = context.quick ? 3 : 10;
  const { apiUrl: url, apiKey } = system.stack.info;
  const before = await readUse(system.stack.info.pids);
  const result = await runLoad({ kind: 'bulk', url, apiKey, submissions, proofsEach: 10_000, atOnce: 5 });
  const after = await readUse(system.stack.info.pids);
  const { p50, max } = spreadOf(result.latenciesMs);
  // Of each batch: formed to last seal, to last timestamp, to last certificate.
  const stages = await system.db.query<{ sealing: number; evidence: number; certifying: number }>(
    `SELECT avg(extract(epoch FROM s.at - b.formed_at))::float8 AS sealing, avg(extract(epoch FROM t.at - s.at))::float8 AS evidence,
       avg(extract(epoch FROM c.at - t.at))::float8 AS certifying
     FROM submissions u JOIN batches b ON b.id = u.batch_id
     CROSS JOIN LATERAL (SELECT max(at) AS at FROM timeline WHERE batch_id = b.id AND state = 'SEALED') s
     CROSS JOIN LATERAL (SELECT max(at) AS at FROM timeline WHERE batch_id = b.id AND state = 'TIMESTAMPED') t
     CROSS JOIN LATERAL (SELECT max(at) AS at FROM timeline WHERE batch_id = b.id AND state = 'CERTIFIED_NO_ANCHOR') c WHERE u.id = ANY ($1::uuid[])`,
    [result.sample],
  );
  const { sealing = 0, evidence = 0, certifying = 0 } = stages.rows[0] ?? {};
  const cpu = cpuBetween(before, after);
  const bound = boundByCores(cpu, result.done);
  return {
    title: 'Bulk',
    method: `${submissions} submissions of 10,000 proofs each (NDJSON, policy NONE), five in flight, each client waiting with ?wait=30 until the last of its proofs is certified; one run, timed from the first request to the last certificate.`,
    table: [
      ['proofs', 'seconds', 'certified per s', 'a submission p50 / max s', 'sealing s', 'evidence s', 'certifying s'],
      [
        show(result.done),
        show(result.seconds),
        show(result.done / result.seconds),
        `${show(p50 / 1000)} / ${show(max / 1000)}`,
        show(sealing),
        show(evidence),
        show(certifying),
      ],
      ['CPU ms a proof', ...cpu.slice(0, 6).map(([part, spent]) => `${part} ${show((spent * 1000) / result.done)}`)],
      ['memory MiB now', ...cpu.slice(0, 6).map(([part]) => `${part} ${show(after.get(part)?.memoryMiB ?? 0)}`)],
    ],
    notes: [
      'Aim ≥ 5,000 certified/s. Stages are means a batch, from their timelines.',
      `Bound by the cores: ${show(bound.msEach)} ms of CPU a proof, of which all cores together could carry ${show(bound.perSecond)}/s. Two signatures made and verified (some 0.25 ms) and the fifteen rows that a proof writes in its life are most of it; no function or statement has more than a sixth (\`profile\`).`,
    ],
  };
}
