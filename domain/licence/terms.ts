/**
 * Calendar periods: period n runs from anchor + n × period to anchor + (n + 1) × period in the grant's zone, half-open.
 * Always counted from the anchor, so a short month does not shorten the ones after it: 31 January, 28 February,
 * 31 March. A day begins at its local midnight; where clocks skip that, at the instant that midnight would have been
 * had they not moved; where they repeat it, at the first.
 */
import { ProoflineError } from '../errors.ts';
import type { Term } from './grant.ts';

/** Milliseconds since the epoch; `endsAtMs` is the first instant after the period, absent if it has no end. */
export interface Period {
  readonly n: number;
  readonly startsAtMs: number;
  readonly endsAtMs?: number;
}

interface CalendarDate {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
}

const DAY_MS = 86_400_000;

/** How many periods a term has. */
export function periodCount(term: Term): number {
  return term.type === 'MONTHLY' || term.type === 'ANNUAL' ? term.count : 1;
}

/** Period n of a term, from 0. Throws GRANT_DATES_INVALID if the anchor is no day of the calendar, RangeError if n is beyond the term. */
export function periodOf(term: Term, n: number): Period {
  if (!Number.isInteger(n) || n < 0 || n >= periodCount(term))
    throw new RangeError(`period ${n} of ${periodCount(term)}`);
  const anchor = parseDate(term.anchorDate);
  const months = monthsPerPeriod(term);
  if (months === undefined) return { n, startsAtMs: startOfDay(anchor, term.timeZone) };
  return {
    n,
    startsAtMs: startOfDay(addMonths(anchor, n * months), term.timeZone),
    endsAtMs: startOfDay(addMonths(anchor, (n + 1) * months), term.timeZone),
  };
}

/** The end of the last period; undefined if there is none. */
export function endOfTerm(term: Term): number | undefined {
  return periodOf(term, periodCount(term) - 1).endsAtMs;
}

function monthsPerPeriod(term: Term): number | undefined {
  switch (term.type) {
    case 'MONTHLY':
      return 1;
    case 'ANNUAL':
      return 12;
    case 'MULTI_YEAR':
      return 12 * term.count;
    case 'PERPETUAL':
      return undefined;
  }
}

function parseDate(text: string): CalendarDate {
  const [year, month, day] = text.split('-').map(Number) as [number, number, number];
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month) || year < 1970)
    throw new ProoflineError('GRANT_DATES_INVALID', `${text} is no day from 1970 on`);
  return { year, month, day };
}

/** The same day of a later month, or that month's last if it is shorter. */
function addMonths(from: CalendarDate, months: number): CalendarDate {
  const index = from.year * 12 + (from.month - 1) + months;
  const year = Math.floor(index / 12);
  const month = (index % 12) + 1;
  return { year, month, day: Math.min(from.day, daysInMonth(year, month)) };
}

function daysInMonth(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

function startOfDay(date: CalendarDate, timeZone: string): number {
  const asUtc = Date.UTC(date.year, date.month - 1, date.day);
  const before = offsetMs(asUtc - DAY_MS, timeZone);
  const after = offsetMs(asUtc + DAY_MS, timeZone);
  const candidates = [asUtc - Math.max(before, after), asUtc - Math.min(before, after)];
  // The larger offset gives the earlier instant: of a repeated midnight, the first.
  const real = candidates.find((instant) => offsetMs(instant, timeZone) === asUtc - instant);
  return real ?? asUtc - before;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Local time minus UTC at an instant, from the tables of the runtime (IANA). */
function offsetMs(instantMs: number, timeZone: string): number {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US-u-ca-iso8601-nu-latn', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    // Only zones that Intl knows come this far: a bounded set.
    formats.set(timeZone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(instantMs).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instantMs / 1000) * 1000;
}
