/** What a route is, and what it is given. Routes are data: the app registers them, a test compares them with the contract. */
import type { Request, Response } from 'express';
import type { Logger } from 'pino';
import type { Clock } from '../domain/clock.ts';
import type { NewId } from '../domain/ids.ts';
import type { Acceptor } from '../store/accept.ts';
import type { Db } from '../store/pool.ts';
import type { Reads } from './group-reads.ts';
import type { KeyRing } from './key-ring.ts';
import type { Metrics } from './metrics.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { Waiters } from './waiters.ts';

export interface ApiDeps {
  /** Of proofline_api: row-level security holds. */
  readonly db: Db;
  readonly acceptor: Acceptor;
  readonly reads: Reads;
  readonly keys: KeyRing;
  readonly waiters: Waiters;
  readonly verifyLimit: RateLimiter;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Random, version 4: who knows a proof's id may ask for its verdicts, so it holds 122 random bits. */
  readonly newProofId: NewId;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly settings: ApiSettings;
}

export interface ApiSettings {
  /** As clients reach it, without a trailing slash. */
  readonly publicUrl: string;
  /** The log's origin line. */
  readonly origin: string;
  /** For operators' links; absent where there is no Temporal UI. */
  readonly temporalUi?: { readonly url: string; readonly namespace: string };
  /** Tests validate responses too. */
  readonly validateResponses?: boolean;
}

/**
 * Who may: `public` anybody; `optional` anybody, told apart if a key comes; else a tenant's key with the scope, or an
 * operator's with one of the roles.
 */
export type Access = 'public' | 'optional' | { readonly scope?: string; readonly roles?: readonly string[] };

/** How the body is read: never beyond its limit. `proof` and `submission` also leave what they read in `res.locals`. */
export type BodyKind = 'proof' | 'submission' | 'bundle' | 'pdf' | 'grant' | 'command' | 'commands' | 'change';

export interface Route {
  readonly method: 'get' | 'post';
  /** As the contract writes it: `/v1/proofs/{id}`. */
  readonly path: string;
  readonly access: Access;
  readonly body?: BodyKind;
  /** Whether the address's token bucket is asked first. */
  readonly isRateLimited?: boolean;
  /** Whether parameters found good are not checked again: every single proof comes this way. Without a body, or with one read strictly. */
  readonly remembersParameters?: boolean;
  readonly answer: (req: Request, res: Response, deps: ApiDeps) => Promise<void>;
}

/** The Express form of a contract path. */
export function toExpressPath(path: string): string {
  return path.replaceAll(/\{([a-z0-9_]+)\}/gi, ':$1');
}
