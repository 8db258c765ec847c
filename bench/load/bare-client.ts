/** Starts bare workflows in a closed loop and waits for each; prints `{latenciesMs, seconds}`. */
import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';

const { address, concurrency, seconds } = JSON.parse(process.argv[2] ?? '') as {
  address: string;
  concurrency: number;
  seconds: number;
};
const connection = await Connection.connect({ address });
const client = new Client({ connection });
const runOne = () =>
  client.workflow.execute('bare', { workflowId: `bare:${randomUUID()}`, taskQueue: 'bench.workflows' });
await Promise.all(Array.from({ length: 10 }, runOne));
const latenciesMs: number[] = [];
const fromMs = performance.now() + 2_000;
const untilMs = fromMs + seconds * 1000;
await Promise.all(
  Array.from({ length: concurrency }, async () => {
    while (performance.now() < untilMs) {
      const startedMs = performance.now();
      await runOne();
      const endedMs = performance.now();
      if (endedMs >= fromMs && endedMs < untilMs) latenciesMs.push(endedMs - startedMs);
    }
  }),
);
await connection.close();
process.stdout.write(JSON.stringify({ latenciesMs, seconds }), () => process.exit(0));
