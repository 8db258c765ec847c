import { formatRequest, openConnection } from './connection.ts';
import type { Job, JobResult } from './job.ts';
import { newProof } from './new-proof.ts';

type Bulk = Extract<Job, { kind: 'bulk' }>;

/** Submits NDJSON and waits with `?wait` until every proof of every submission is certified. */
export async function runBulk(job: Bulk): Promise<JobResult> {
  const bodies = Array.from(
    { length: job.submissions },
    () => `${Array.from({ length: job.proofsEach }, newProof).join('\n')}\n`,
  );
  const latenciesMs: number[] = [];
  const failures: Record<string, number> = {};
  const sample: string[] = [];
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  const queue = bodies.values();
  await Promise.all(
    Array.from({ length: job.atOnce }, async () => {
      const connection = await openConnection(job.url);
      for (const body of queue) {
        const sentMs = performance.now();
        const fault = await submitAndWait(body);
        if (fault !== undefined) failures[fault] = (failures[fault] ?? 0) + 1;
        else latenciesMs.push(performance.now() - sentMs);
      }
      connection.close();

      async function submitAndWait(body: string): Promise<string | undefined> {
        const accepted = await connection.send(
          formatRequest('POST', '/v1/submissions?anchorPolicy=NONE', {
            apiKey: job.apiKey,
            body,
            type: 'application/x-ndjson',
          }),
        );
        if (accepted.status !== 202) return `${accepted.status} ${accepted.body.slice(0, 300)}`;
        const { id } = JSON.parse(accepted.body) as { id: string };
        sample.push(id);
        for (let tries = 0; tries < 20; tries++) {
          const answer = await connection.send(
            formatRequest('GET', `/v1/submissions/${id}?wait=30`, { apiKey: job.apiKey }),
          );
          if (answer.status !== 200) return `wait ${answer.status}`;
          const { final, states } = JSON.parse(answer.body) as { final: boolean; states: Record<string, number> };
          // Where others ask for anchors, their windows cover these proofs too.
          const certified = (states.CERTIFIED_NO_ANCHOR ?? 0) + (states.CERTIFIED ?? 0);
          if (final) return certified === job.proofsEach ? undefined : JSON.stringify(states);
        }
        return 'not certified';
      }
    }),
  );
  const { user, system } = process.cpuUsage(cpu);
  return {
    done: latenciesMs.length * job.proofsEach,
    seconds: (performance.now() - startedMs) / 1000,
    latenciesMs,
    failures,
    cpuSeconds: (user + system) / 1e6,
    sample,
  };
}
