import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Term } from './grant.ts';
import { endOfTerm, periodCount, periodOf } from './terms.ts';

/** Zones that moved across the date line since 1971, so that one local day never was. */
const SKIPPED_A_DAY = ['Apia', 'Enderbury', 'Fakaofo', 'Kanton', 'Kiritimati', 'Kwajalein'].map((z) => `Pacific/${z}`);

const monthly = (anchorDate: string, timeZone: string, count = 12): Term => ({
  type: 'MONTHLY',
  count,
  anchorDate,
  timeZone,
  rollover: 0,
});
const annual = (anchorDate: string, timeZone: string, count: number): Term => ({
  type: 'ANNUAL',
  count,
  anchorDate,
  timeZone,
  rollover: 0,
});
const iso = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString().replace('.000Z', 'Z');
const starts = (term: Term): (string | undefined)[] =>
  Array.from({ length: periodCount(term) }, (_, n) => iso(periodOf(term, n).startsAtMs));

describe('monthly periods', () => {
  it('begin on the last day of shorter months and return to the 31st', () => {
    expect(starts(monthly('2026-01-31', 'UTC', 6))).toEqual([
      '2026-01-31T00:00:00Z',
      '2026-02-28T00:00:00Z',
      '2026-03-31T00:00:00Z',
      '2026-04-30T00:00:00Z',
      '2026-05-31T00:00:00Z',
      '2026-06-30T00:00:00Z',
    ]);
  });

  it('begin on 29 February of a leap year', () => {
    expect(starts(monthly('2027-12-31', 'UTC', 4)).slice(2)).toEqual(['2028-02-29T00:00:00Z', '2028-03-31T00:00:00Z']);
  });

  it('begin at local midnight on both sides of both clock changes', () => {
    expect(starts(monthly('2026-01-31', 'Europe/Paris', 12))).toEqual([
      '2026-01-30T23:00:00Z',
      '2026-02-27T23:00:00Z',
      '2026-03-30T22:00:00Z',
      '2026-04-29T22:00:00Z',
      '2026-05-30T22:00:00Z',
      '2026-06-29T22:00:00Z',
      '2026-07-30T22:00:00Z',
      '2026-08-30T22:00:00Z',
      '2026-09-29T22:00:00Z',
      '2026-10-30T23:00:00Z',
      '2026-11-29T23:00:00Z',
      '2026-12-30T23:00:00Z',
    ]);
  });

  it.each([
    ['America/New_York', '2026-03-08', '2026-03-08T05:00:00Z', '2026-04-08T04:00:00Z'],
    ['America/Los_Angeles', '2026-10-01', '2026-10-01T07:00:00Z', '2026-11-01T07:00:00Z'],
    ['Asia/Kolkata', '2026-05-15', '2026-05-14T18:30:00Z', '2026-06-14T18:30:00Z'],
    ['Pacific/Auckland', '2026-09-27', '2026-09-26T12:00:00Z', '2026-10-26T11:00:00Z'],
    ['Australia/Lord_Howe', '2026-04-05', '2026-04-04T13:00:00Z', '2026-05-04T13:30:00Z'],
    ['Pacific/Kiritimati', '2026-12-31', '2026-12-30T10:00:00Z', '2027-01-30T10:00:00Z'],
    ['Pacific/Pago_Pago', '2026-12-31', '2026-12-31T11:00:00Z', '2027-01-31T11:00:00Z'],
  ])('run from midnight to midnight in %s', (zone, anchor, from, to) => {
    const { startsAtMs, endsAtMs } = periodOf(monthly(anchor, zone), 0);
    expect([iso(startsAtMs), iso(endsAtMs)]).toEqual([from, to]);
  });

  it('begin where midnight is skipped at the instant in which the clocks move', () => {
    // Cairo, 24 April 2026: 00:00 +02 becomes 01:00 +03.
    expect(iso(periodOf(monthly('2026-04-24', 'Africa/Cairo'), 0).startsAtMs)).toBe('2026-04-23T22:00:00Z');
    // Apia had no 30 December 2011: 29 December 24:00 -10 is 31 December 00:00 +14.
    expect(iso(periodOf(monthly('2011-12-30', 'Pacific/Apia'), 0).startsAtMs)).toBe('2011-12-30T10:00:00Z');
  });

  it('begin where midnight comes twice at the first of them', () => {
    // Havana, 1 November 2026: 01:00 -04 becomes 00:00 -05.
    expect(iso(periodOf(monthly('2026-11-01', 'America/Havana'), 0).startsAtMs)).toBe('2026-11-01T04:00:00Z');
  });
});

describe('longer terms', () => {
  it('take 29 February to 28 February and back in the next leap year', () => {
    expect(starts(annual('2024-02-29', 'UTC', 5))).toEqual([
      '2024-02-29T00:00:00Z',
      '2025-02-28T00:00:00Z',
      '2026-02-28T00:00:00Z',
      '2027-02-28T00:00:00Z',
      '2028-02-29T00:00:00Z',
    ]);
  });

  it('are one period of all their years', () => {
    const term: Term = { type: 'MULTI_YEAR', count: 3, anchorDate: '2026-01-31', timeZone: 'America/Sao_Paulo' };
    expect(periodCount(term)).toBe(1);
    expect([iso(periodOf(term, 0).startsAtMs), iso(endOfTerm(term))]).toEqual([
      '2026-01-31T03:00:00Z',
      '2029-01-31T03:00:00Z',
    ]);
  });

  it('have no end if perpetual', () => {
    const term: Term = { type: 'PERPETUAL', anchorDate: '2026-01-31', timeZone: 'Asia/Tokyo' };
    expect(periodOf(term, 0)).toEqual({ n: 0, startsAtMs: Date.parse('2026-01-30T15:00:00Z') });
    expect(endOfTerm(term)).toBeUndefined();
  });
});

describe('every term', () => {
  const zone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));
  const day = fc
    .date({ min: new Date('1971-01-01T00:00:00Z'), max: new Date('2060-12-31T00:00:00Z'), noInvalidDate: true })
    .map((d) => d.toISOString().slice(0, 10));
  const term = fc
    .record({ type: fc.constantFrom('MONTHLY' as const, 'ANNUAL' as const), anchorDate: day, timeZone: zone })
    .map((t): Term => ({ ...t, count: 40, rollover: 0 }));

  it('has contiguous periods that never overlap', () => {
    fc.assert(
      fc.property(term, fc.integer({ min: 0, max: 38 }), (t, n) => {
        const [here, next] = [periodOf(t, n), periodOf(t, n + 1)];
        expect(here.endsAtMs).toBe(next.startsAtMs);
        expect(here.startsAtMs).toBeLessThan(next.startsAtMs);
      }),
      { numRuns: 300 },
    );
  });

  it('begins period n on the anchor day n periods later, or the last day of a shorter month', () => {
    fc.assert(
      fc.property(term, fc.integer({ min: 0, max: 39 }), (t, n) => {
        // sv-SE writes dates as in ISO 8601.
        const local = new Intl.DateTimeFormat('sv-SE', { timeZone: t.timeZone, dateStyle: 'short' });
        const [year, month, dayOfMonth] = local.format(periodOf(t, n).startsAtMs).split('-').map(Number);
        const [y, m, d] = t.anchorDate.split('-').map(Number) as [number, number, number];
        const index = y * 12 + m - 1 + n * (t.type === 'MONTHLY' ? 1 : 12);
        // A day that the zone skipped whole begins as the next one.
        fc.pre(!SKIPPED_A_DAY.includes(t.timeZone));
        expect([(year ?? 0) * 12 + (month ?? 0) - 1, dayOfMonth]).toEqual([
          index,
          Math.min(d, new Date(Date.UTC(Math.floor(index / 12), (index % 12) + 1, 0)).getUTCDate()),
        ]);
      }),
      { numRuns: 300 },
    );
  });

  it.each(['2026-02-30', '2026-13-01', '2025-02-29', '1969-12-31'])('refuses the anchor %s', (anchorDate) => {
    expect(() => periodOf(monthly(anchorDate, 'UTC'), 0)).toThrow('GRANT_DATES_INVALID');
  });
});
