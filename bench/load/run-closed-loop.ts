import { type Connection, formatRequest, openConnection } from './connection.ts';
import type { Job, JobResult } from './job.ts';
import { newProof } from './new-proof.ts';

type ClosedLoop = Extract<Job, { kind: 'accept' | 'certify' }>;

const FINAL = /"state":"(?:CERTIFIED|CERTIFIED_NO_ANCHOR)"/;
const ID = /"id":"([0-9a-f-]{36})"/;
const CONNECT_AT_ONCE = 50;
const SAMPLE = 200;

/** `concurrency` clients, each on its own connection, each doing one thing after the other. */
export async function runClosedLoop(job: ClosedLoop): Promise<JobResult> {
  const connections: Connection[] = [];
  while (connections.length < job.concurrency) {
    const some = Math.min(CONNECT_AT_ONCE, job.concurrency - connections.length);
    connections.push(...(await Promise.all(Array.from({ length: some }, () => openConnection(job.url)))));
  }
  const latenciesMs: number[] = [];
  const failures: Record<string, number> = {};
  const sample: string[] = [];
  const fromMs = performance.now() + job.warmUpSeconds * 1000;
  const untilMs = fromMs + job.seconds * 1000;
  let cpu = process.cpuUsage();
  setTimeout(() => {
    cpu = process.cpuUsage();
  }, job.warmUpSeconds * 1000);

  const client = async (connection: Connection): Promise<void> => {
    while (performance.now() < untilMs) {
      const startedMs = performance.now();
      const fault = await (job.kind === 'accept' ? acceptOne(job, connection) : certifyOne(job, connection, sample));
      const endedMs = performance.now();
      if (fault !== undefined) failures[fault] = (failures[fault] ?? 0) + 1;
      else if (endedMs >= fromMs && endedMs < untilMs) latenciesMs.push(endedMs - startedMs);
    }
  };
  const clients = Promise.all(connections.map(client));
  await new Promise((resolve) => setTimeout(resolve, untilMs - performance.now()));
  const { user, system } = process.cpuUsage(cpu);
  // What is still under way is let end, so that the next figure starts from rest.
  await Promise.race([clients, new Promise((resolve) => setTimeout(resolve, 60_000))]);
  for (const connection of connections) connection.close();
  return {
    done: latenciesMs.length,
    seconds: job.seconds,
    latenciesMs,
    failures,
    cpuSeconds: (user + system) / 1e6,
    sample: sample.slice(-SAMPLE),
  };
}

async function acceptOne(job: ClosedLoop, connection: Connection): Promise<string | undefined> {
  const { status } = await connection.send(formatRequest('POST', job.path, { apiKey: job.apiKey, body: newProof() }));
  return status === 202 ? undefined : `${status}`;
}

async function certifyOne(job: ClosedLoop, connection: Connection, sample: string[]): Promise<string | undefined> {
  const { status, body } = await connection.send(
    formatRequest('POST', job.path, { apiKey: job.apiKey, body: newProof() }),
  );
  const id = ID.exec(body)?.[1];
  if (status !== 202 || id === undefined) return `${status}`;
  const ask = formatRequest('GET', `/v1/proofs/${id}?wait=30`, { apiKey: job.apiKey });
  for (let tries = 0; tries < 10; tries++) {
    const answer = await connection.send(ask);
    if (answer.status !== 200) return `wait ${answer.status}`;
    if (FINAL.test(answer.body)) {
      sample.push(id);
      if (sample.length > 10_000) sample.splice(0, 9_000);
      return undefined;
    }
  }
  return 'not certified';
}
