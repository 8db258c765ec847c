import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { ChaosReport } from './run-chaos.ts';

const RESULTS = fileURLToPath(new URL('../../bench/RESULTS.md', import.meta.url));
const BEGIN = '<!-- chaos -->';
const END = '<!-- /chaos -->';

/** The report as a Markdown section of its own. */
export function formatReport(report: ChaosReport, at: Date): string {
  const { seed, durationMs, settledMs, repeated, blows, figures, faults } = report;
  const total = [...blows.values()].reduce(
    (sum, one) => ({
      killed: sum.killed + one.killed,
      frozen: sum.frozen + one.frozen,
      frozenMs: sum.frozenMs + one.frozenMs,
    }),
    { killed: 0, frozen: 0, frozenMs: 0 },
  );
  const row = (name: string, b: typeof total): string =>
    `| ${name} | ${b.killed} | ${b.frozen} | ${(b.frozenMs / 1000).toFixed(1)} |`;
  return [
    `### ${at.toISOString().slice(0, 16)}Z: ${durationMs / 1000} s, seed ${seed}, ${cpus().length} cores`,
    '',
    faults.length === 0 ? 'Every promise was kept.' : `**${faults.length} promises were broken:**`,
    ...faults.map((fault) => `- ${fault}`),
    '',
    `${Object.entries(figures)
      .map(([what, n]) => `${n} ${what}`)
      .join(
        ', ',
      )}. Clients repeated ${repeated} requests. All was settled ${(settledMs / 1000).toFixed(1)} s after the storm.`,
    '',
    '| process | killed | frozen | frozen, s |',
    '|---|---|---|---|',
    ...[...blows].map(([name, b]) => row(name, b)),
    row('all', total),
    '',
  ].join('\n');
}

/** Puts the report at the end of the section "Chaos" of bench/RESULTS.md, which it makes if there is none. */
export function appendReport(text: string): void {
  const before = existsSync(RESULTS) ? readFileSync(RESULTS, 'utf8') : '';
  const at = before.indexOf(END);
  if (at < 0) writeFileSync(RESULTS, `${before.trimEnd()}\n\n${BEGIN}\n## Chaos\n\n${text}\n${END}\n`.trimStart());
  else writeFileSync(RESULTS, `${before.slice(0, at).trimEnd()}\n\n${text}\n${before.slice(at)}`);
}
