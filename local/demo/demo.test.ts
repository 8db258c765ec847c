import { describe, expect, it } from '@jest/globals';
import { formatTimeline } from './format-timeline.ts';
import { tamper } from './tamper.ts';

describe('the demonstration', () => {
  it('shows each step with its own and the whole duration', () => {
    const steps = [
      { state: 'RECEIVED', at: '2026-01-31T08:00:00.000000Z' },
      { state: 'SEALED', at: '2026-01-31T08:00:00.040000Z' },
      { state: 'TIMESTAMPED', at: '2026-01-31T08:00:01.000000Z' },
    ];
    const lines = formatTimeline(steps).split('\n');
    expect(lines[1]).toMatch(/SEALED .*\+40 ms\s+40 ms$/);
    expect(lines[2]).toMatch(/TIMESTAMPED .*\+960 ms\s+1000 ms$/);
  });

  it.each(['0', 'f'])('changes exactly one digit of a digest that ends in %s', (last) => {
    const bundle = `{"statement":{"digest":{"alg":"sha-256","value":"ab${last}"}}}`;
    const copy = tamper(bundle);
    expect([...copy].filter((c, i) => c !== bundle[i])).toHaveLength(1);
    expect(copy).toHaveLength(bundle.length);
  });
});
