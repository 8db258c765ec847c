/**
 * `npm run chaos -- --minutes N --seed S`: kills and freezes every process of a whole system while clients submit, then
 * judges what is left. `--seconds N` for a short one, `--report` appends to bench/RESULTS.md, `--keep DIR` keeps the
 * files. The exit code is 1 if a promise was broken.
 */
import { parseArgs } from 'node:util';
import { appendReport, formatReport } from './report.ts';
import { runChaos } from './run-chaos.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string' },
      seconds: { type: 'string' },
      seed: { type: 'string' },
      keep: { type: 'string' },
      report: { type: 'boolean', default: false },
    },
  });
  const durationMs = read('minutes', values.minutes, 0) * 60_000 + read('seconds', values.seconds, 0) * 1_000 || 60_000;
  const seed = read('seed', values.seed, Date.now() % 1_000_000);
  const began = Date.now();
  const report = await runChaos({
    seed,
    durationMs,
    settleMs: 480_000,
    say: (line) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(7)} s  ${line}`),
    ...(values.keep !== undefined && { keepDir: values.keep }),
  });
  const text = formatReport(report, new Date());
  console.log(`\n${text}`);
  if (values.report) appendReport(text);
  process.exitCode = report.faults.length === 0 ? 0 : 1;
}

function read(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  if (!/^[0-9]{1,9}$/.test(text)) throw new Error(`--${name} is a whole number, not ${text}`);
  return Number(text);
}

await main();
