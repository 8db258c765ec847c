/** The load generator, a process of its own: `node bench/load/main.ts '<job as JSON>'`; the result is one line of JSON. */
import type { Job, JobResult } from './job.ts';
import { runBulk } from './run-bulk.ts';
import { runClosedLoop } from './run-closed-loop.ts';
import { runReceipts } from './run-receipts.ts';

const job = JSON.parse(process.argv[2] ?? '') as Job;
const result: JobResult = await run(job);
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));

function run(what: Job): Promise<JobResult> {
  switch (what.kind) {
    case 'accept':
    case 'certify':
      return runClosedLoop(what);
    case 'receipts':
      return runReceipts(what);
    case 'bulk':
      return runBulk(what);
  }
}
