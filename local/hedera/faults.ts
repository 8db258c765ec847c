/** Faults as data: what goes wrong, where, how often. The first armed fault that matches is used up by one. */
import type { Status } from './wire.ts';

export type FaultPlace = 'ingest' | 'consensus' | 'query' | 'mirrorRest' | 'mirrorGrpc';

export type FaultEffect =
  | { readonly precheck: Status }
  /** `after`: the work is done, only the answer is lost. */
  | { readonly grpc: number; readonly when: 'before' | 'after' }
  | { readonly delayMs: number }
  /** At consensus: the transaction ends with this status. */
  | { readonly status: Status }
  | { readonly http: number }
  | { readonly corrupt: 'message' | 'runningHash' | 'sequence' | 'timestamp' | 'payer' }
  /** No answer at all; the caller's deadline decides. At consensus: accepted, then lost. */
  | { readonly drop: true };

export interface Fault {
  readonly at: FaultPlace;
  readonly match?: FaultMatch;
  readonly effect: FaultEffect;
  /** Default 1. */
  readonly times?: number;
}

export interface FaultMatch {
  /** `0.0.3`; for mirrors the instance: `0`, `1`. */
  readonly node?: string;
  /** gRPC method or first path segment: `submitMessage`, `topics`. */
  readonly type?: string;
  readonly payer?: string;
  readonly topic?: string;
}

export interface Faults {
  arm(fault: Fault): void;
  clear(): void;
  /** The effect of the first armed fault that fits, used up by one. */
  take(at: FaultPlace, facts: FaultMatch): FaultEffect | undefined;
}

export function createFaults(): Faults {
  let armed: { fault: Fault; left: number }[] = [];
  return {
    arm: (fault) => armed.push({ fault, left: fault.times ?? 1 }),
    clear: () => {
      armed = [];
    },
    take(at, facts) {
      const found = armed.find(({ fault }) => fault.at === at && fits(fault.match ?? {}, facts));
      if (found === undefined) return undefined;
      found.left -= 1;
      if (found.left <= 0) armed = armed.filter((other) => other !== found);
      return found.fault.effect;
    },
  };
}

function fits(match: FaultMatch, facts: FaultMatch): boolean {
  return (Object.keys(match) as (keyof FaultMatch)[]).every((key) => match[key] === facts[key]);
}
