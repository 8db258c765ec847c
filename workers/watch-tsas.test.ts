import { beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { register } from 'prom-client';
import type { TsaAttempt } from '../activities/timestamping/tsa-pool.ts';
import { compareTsas, watchTsas } from './watch-tsas.ts';

let lines: Record<string, unknown>[];
let tell: (attempt: Partial<TsaAttempt>) => void;
beforeEach(() => {
  register.resetMetrics();
  lines = [];
  const watch = watchTsas(pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line)) }));
  tell = (attempt) => watch({ tsa: 'one', outcome: 'stamped', detail: '', durationMs: 40, ...attempt });
});

describe('watching authorities', () => {
  it('counts each attempt by authority and outcome, and times those that went out', async () => {
    tell({ driftMs: 12 });
    tell({ outcome: 'skipped-bucket' });
    tell({ tsa: 'two', outcome: 'TSA_BAD_TOKEN', detail: '4 NONCE_MISMATCH' });
    const text = await register.metrics();
    expect(text).toContain('proofline_tsa_attempts_total{tsa="one",outcome="stamped"} 1');
    expect(text).toContain('proofline_tsa_attempts_total{tsa="one",outcome="skipped-bucket"} 1');
    expect(text).toContain('proofline_tsa_attempts_total{tsa="two",outcome="TSA_BAD_TOKEN"} 1');
    expect(text).toContain('proofline_tsa_request_duration_seconds_count{tsa="one"} 1');
    expect(text).toContain('proofline_tsa_drift_seconds{tsa="one"} 0.012');
    expect(lines.map(({ tsa, detail }) => [tsa, detail])).toEqual([['two', '4 NONCE_MISMATCH']]);
  });

  it('publishes how far the clocks of two are apart, and warns beyond what a clock may be', async () => {
    const logger = pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line)) });
    const readings = [2_000, -4_000, undefined].map((driftMs, i) => ({ tsa: `tsa ${i}`, driftMs }));
    await compareTsas({ compareClocks: async () => readings }, logger);
    expect(await register.metrics()).toContain('proofline_tsa_spread_seconds 6');
    expect(lines).toMatchObject([{ event: 'tsa-clocks-differ', spreadMs: 6_000, readings: [{}, {}, {}] }]);
  });

  it('warns when a clock begins to drift, once until it is right again', () => {
    for (const driftMs of [100, -9_000, -9_100, 200, 9_000]) tell({ driftMs });
    expect(lines.map(({ driftMs }) => driftMs)).toEqual([-9_000, 9_000]);
  });
});
