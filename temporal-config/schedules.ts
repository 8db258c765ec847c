import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export const OVERLAPS = ['SKIP', 'BUFFER_ONE', 'BUFFER_ALL'] as const;

/** A declared Temporal Schedule. */
export interface DeclaredSchedule {
  readonly id: string;
  /** The workflow type. Its ids are the schedule's id and the time meant. */
  readonly workflow: string;
  /** Counted from midnight UTC, plus `offsetMs`. */
  readonly everyMs: number;
  readonly offsetMs: number;
  readonly catchupWindowMs: number;
  readonly overlap: (typeof OVERLAPS)[number];
}

const UNITS_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const MEMBERS = ['workflow', 'every', 'catchupWindow', 'overlap'];
const OPTIONAL_MEMBERS = ['offset'];

/** The declared schedules. Throws if one lacks a member, has an unknown one, or a value that is none. */
export function readSchedules(
  text: string = readFileSync(new URL('./schedules.yaml', import.meta.url), 'utf8'),
): readonly DeclaredSchedule[] {
  return Object.entries(parse(text) as Record<string, Record<string, unknown>>).map(([id, declared]) => {
    const names = Object.keys(declared);
    const odd = [
      ...names.filter((name) => ![...MEMBERS, ...OPTIONAL_MEMBERS].includes(name)),
      ...MEMBERS.filter((name) => !names.includes(name)),
    ];
    if (odd.length > 0) throw new Error(`schedule ${id}: ${odd.join(', ')} unknown or missing`);
    const overlap = OVERLAPS.find((choice) => choice === declared.overlap);
    if (overlap === undefined) throw new Error(`schedule ${id}: overlap is one of ${OVERLAPS.join(', ')}`);
    return {
      id,
      workflow: String(declared.workflow),
      everyMs: durationMs(id, declared.every),
      offsetMs: declared.offset === undefined ? 0 : durationMs(id, declared.offset),
      catchupWindowMs: durationMs(id, declared.catchupWindow),
      overlap,
    };
  });
}

function durationMs(id: string, value: unknown): number {
  const match = /^([1-9]\d{0,3})([mhd])$/.exec(String(value));
  if (match === null) throw new Error(`schedule ${id}: "${String(value)}" is no duration such as 1h`);
  return Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS];
}
