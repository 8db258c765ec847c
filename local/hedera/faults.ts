/** Faults as data: what goes wrong, where, how often. The first armed fault that matches is used up by one. */
import { proto } from '@hiero-ledger/proto';
import type { Status } from './wire.ts';

const PLACES = ['ingest', 'consensus', 'receipt', 'query', 'mirrorRest', 'mirrorGrpc', 'getNodes'] as const;
/** `receipt`: queries for receipts and records; `query`: every other; `getNodes`: a mirror's address book. */
export type FaultPlace = (typeof PLACES)[number];

/** `gap`: a row that is there is not shown. */
const CORRUPTIBLE = ['message', 'runningHash', 'sequence', 'timestamp', 'payer', 'gap'] as const;

export type Corruption = (typeof CORRUPTIBLE)[number];

export type FaultEffect =
  /** A node's refusal, where the real node would come to it. */
  | { readonly precheck: Status }
  /** `after`: the work is done, only the answer is lost. */
  | { readonly grpc: number; readonly when: 'before' | 'after' }
  | { readonly delayMs: number }
  /** At consensus: the transaction ends with this status. In a receipt: it says this status. */
  | { readonly status: Status }
  | { readonly http: number }
  | { readonly corrupt: Corruption }
  /** No answer at all; the caller's deadline decides. At consensus: accepted, then lost. */
  | { readonly drop: true }
  /** The process that was asked dies before it answers, its work not done (`before`, the default) or done; its port is
   * closed until it is started again. */
  | { readonly kill: true; readonly when?: 'before' | 'after' };

export interface Fault {
  readonly at: FaultPlace;
  readonly match?: FaultMatch;
  readonly effect: FaultEffect;
  /** Default 1. */
  readonly times?: number;
}

/** What a fault looks at, beside the place. */
export interface FaultFacts {
  /** `0.0.3`; for mirrors the instance: `0`, `1`. */
  readonly node?: string;
  /** gRPC method, body of the transaction, or first path segment: `submitMessage`, `consensusSubmitMessage`, `topics`. */
  readonly type?: string;
  readonly payer?: string;
  readonly topic?: string;
}

export interface FaultMatch extends FaultFacts {
  /** Only from the nth call that fits the rest, counted from 1. */
  readonly nth?: number;
}

export interface Faults {
  arm(fault: Fault): void;
  clear(): void;
  /** The effect of the first armed fault that fits, used up by one. */
  take(at: FaultPlace, facts: FaultFacts): FaultEffect | undefined;
  /** How many are armed. */
  count(): number;
}

export function createFaults(): Faults {
  let armed: { fault: Fault; left: number; seen: number }[] = [];
  return {
    arm: (fault) => armed.push({ fault, left: fault.times ?? 1, seen: 0 }),
    clear: () => {
      armed = [];
    },
    take(at, facts) {
      for (const entry of armed) {
        const { match = {} } = entry.fault;
        if (entry.fault.at !== at || !fits(match, facts)) continue;
        entry.seen += 1;
        if (entry.seen < (match.nth ?? 1)) continue;
        entry.left -= 1;
        if (entry.left <= 0) armed = armed.filter((other) => other !== entry);
        return entry.fault.effect;
      }
      return undefined;
    },
    count: () => armed.length,
  };
}

function fits({ nth: _, ...match }: FaultMatch, facts: FaultFacts): boolean {
  return (Object.keys(match) as (keyof FaultFacts)[]).every((key) => match[key] === facts[key]);
}

/** A fault out of JSON, its place called `op` or `at`. Throws an Error that names what is wrong. */
export function parseFault(body: Readonly<Record<string, unknown>>): Fault {
  const { op, at, match, effect, times, ...rest } = body;
  const place = PLACES.find((known) => known === (op ?? at));
  if (place === undefined) throw new Error(`op is one of ${PLACES.join(', ')}`);
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new Error(`a fault has no ${unknown}`);
  if (times !== undefined && !isCount(times)) throw new Error('times is a number of 1 or more');
  return {
    at: place,
    effect: parseEffect(effect),
    ...(match === undefined ? {} : { match: parseMatch(match) }),
    ...(times === undefined ? {} : { times }),
  };
}

function parseMatch(value: unknown): FaultMatch {
  if (!isObject(value)) throw new Error('match is an object');
  const { nth, ...texts } = value;
  if (nth !== undefined && !isCount(nth)) throw new Error('nth is a number of 1 or more');
  for (const [key, text] of Object.entries(texts)) {
    if (!['node', 'type', 'payer', 'topic'].includes(key)) throw new Error(`nothing is matched by ${key}`);
    if (typeof text !== 'string') throw new Error(`${key} is text`);
  }
  return { ...(texts as FaultFacts), ...(nth === undefined ? {} : { nth }) };
}

function parseEffect(value: unknown): FaultEffect {
  if (!isObject(value)) throw new Error('effect is an object');
  const { precheck, status, grpc, when = 'before', delayMs, http, corrupt, drop, kill } = value;
  if (isStatus(precheck)) return { precheck };
  if (isStatus(status)) return { status };
  if (Number.isInteger(grpc) && (when === 'before' || when === 'after')) return { grpc: Number(grpc), when };
  if (typeof delayMs === 'number' && delayMs >= 0) return { delayMs };
  if (Number.isInteger(http) && Number(http) >= 200 && Number(http) <= 599) return { http: Number(http) };
  const corrupted = CORRUPTIBLE.find((known) => known === corrupt);
  if (corrupted !== undefined) return { corrupt: corrupted };
  if (drop === true) return { drop };
  if (kill === true && (when === 'before' || when === 'after')) return { kill, when };
  throw new Error('effect is one of precheck, status, grpc, delayMs, http, corrupt, drop, kill');
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 1;
const isStatus = (value: unknown): value is Status =>
  typeof value === 'string' && Object.hasOwn(proto.ResponseCodeEnum, value);
