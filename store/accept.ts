/**
 * The accept path: group commit. Requests that arrive while an insert is under way share the next call of accept(),
 * across tenants, so the cost of a commit falls as load grows. Nothing waits for a timer: a request that is alone
 * goes at once. Requests of many proofs have calls of their own, one at a time as well: whoever sends one proof
 * waits behind none of them.
 */

import type { DigestAlgorithm } from '../domain/digest.ts';
import { ProoflineError } from '../domain/errors.ts';
import type { ApiKeyId, OrgUnitId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import { CROWD } from '../domain/lane.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { asStoreError, type Queryable } from './pool.ts';

/** One proof of a request; bytes in lower-case hex. `ordinal` is its place in what the client sent. */
export interface AcceptProof {
  readonly id: ProofId;
  readonly ordinal: number;
  readonly alg: DigestAlgorithm;
  readonly digest: string;
  readonly reference?: string;
  readonly referenceSalt?: string;
  readonly metadata?: unknown;
  readonly metadataSalt?: string;
}

/** One request: its submission, who sends it, and what it is deduplicated by. Instants are RFC 3339 with microseconds. */
export interface AcceptRequest {
  readonly submission: SubmissionId;
  readonly tenant: TenantId;
  readonly unit: OrgUnitId;
  readonly key: ApiKeyId;
  readonly route: string;
  readonly idempotencyKey?: string;
  /** Hex SHA-256 of the JCS of body and effective parameters. */
  readonly bodyHash: string;
  readonly reference?: string;
  readonly anchorPolicy: AnchorPolicy;
  readonly anchorWindow: AnchorWindow;
  readonly anchorDeadline?: string;
  readonly receivedAt: string;
  readonly refused?: readonly { readonly index: number; readonly code: string; readonly detail: string }[];
  readonly proofs: readonly AcceptProof[];
}

/** What became of a request. */
export type AcceptOutcome =
  | {
      readonly outcome: 'accepted';
      /** By lower-case hex digest: the tenant's newest ten proofs of it received before, newest first. */
      readonly earlier: ReadonlyMap<string, readonly ProofId[]>;
    }
  /** The idempotency key was used before, or by a twin in the same group that won. Nothing was written. */
  | { readonly outcome: 'duplicate' };

export interface AcceptorOptions {
  /** A pool of the role that may execute accept() and nothing else. */
  readonly intake: Queryable;
  readonly maxRequests?: number;
  readonly maxProofs?: number;
  /** Of the serialised requests of one group, in UTF-16 units. One larger request goes alone. */
  readonly maxLength?: number;
  /** Told the size of each group that was sent. */
  readonly onGroup?: (requests: number, proofs: number) => void;
}

export interface Acceptor {
  /** Commits the request. Throws UNAUTHENTICATED, TENANT_SUSPENDED, ORG_UNIT_CLOSED, TOO_MANY_PENDING or STORE_UNAVAILABLE. */
  accept(request: AcceptRequest): Promise<AcceptOutcome>;
}

interface Waiting {
  readonly submission: SubmissionId;
  /** The request as a JSON object; its place `n` is added per group. */
  readonly json: string;
  readonly proofs: number;
  readonly resolve: (outcome: AcceptOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** Requests that go in the same calls. */
interface Line {
  readonly queue: Waiting[];
  isSending: boolean;
}

const REFUSALS = ['UNAUTHENTICATED', 'TENANT_SUSPENDED', 'ORG_UNIT_CLOSED', 'TOO_MANY_PENDING'] as const;

export function createAcceptor(options: AcceptorOptions): Acceptor {
  const { intake, maxRequests = 500, maxProofs = 12_000, maxLength = 48 * 1024 * 1024, onGroup } = options;
  const few: Line = { queue: [], isSending: false };
  const many: Line = { queue: [], isSending: false };

  const sendAll = async (line: Line): Promise<void> => {
    const { queue } = line;
    line.isSending = true;
    while (queue.length > 0) {
      const group = takeGroup(queue, maxRequests, maxProofs, maxLength);
      onGroup?.(
        group.length,
        group.reduce((sum, one) => sum + one.proofs, 0),
      );
      await sendGroup(intake, group);
    }
    line.isSending = false;
  };

  return {
    accept(request) {
      const line = request.proofs.length < CROWD ? few : many;
      return new Promise((resolve, reject) => {
        line.queue.push({
          submission: request.submission,
          json: JSON.stringify(request),
          proofs: request.proofs.length,
          resolve,
          reject,
        });
        if (!line.isSending) void sendAll(line);
      });
    },
  };
}

function takeGroup(queue: Waiting[], maxRequests: number, maxProofs: number, maxLength: number): Waiting[] {
  let count = 0;
  let proofs = 0;
  let length = 0;
  for (const one of queue) {
    proofs += one.proofs;
    length += one.json.length;
    if (count > 0 && (count === maxRequests || proofs > maxProofs || length > maxLength)) break;
    count++;
  }
  return queue.splice(0, count);
}

/** Never throws: each request is settled. A group that fails is repeated one by one, so nobody bears another's fault. */
async function sendGroup(intake: Queryable, group: readonly Waiting[]): Promise<void> {
  try {
    settle(group, await callAccept(intake, group));
    return;
  } catch (error) {
    const cause = asConnectionError(error);
    // A lost connection is nobody's fault; whether the group was committed, the clients' idempotency keys tell.
    if (group.length === 1 || (cause instanceof ProoflineError && cause.code === 'STORE_UNAVAILABLE')) {
      for (const one of group) one.reject(cause);
      return;
    }
  }
  for (const one of group) await sendGroup(intake, [one]);
}

/** What Postgres did not say itself (it would bear an SQLSTATE) is a connection that failed. */
function asConnectionError(error: unknown): unknown {
  const { code } = error as { code?: unknown };
  const isFromPostgres = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code);
  return isFromPostgres
    ? asStoreError(error)
    : new ProoflineError('STORE_UNAVAILABLE', 'no connection', { cause: error });
}

interface Answer {
  readonly n: number;
  readonly outcome: string;
  readonly earlier: Readonly<Record<string, readonly ProofId[]>> | null;
}

async function callAccept(intake: Queryable, group: readonly Waiting[]): Promise<readonly Answer[]> {
  const input = `[${group.map(({ json }, n) => `{"n":${n},${json.slice(1)}`).join(',')}]`;
  const { rows } = await intake.query<Answer>({
    name: 'accept',
    text: 'SELECT n, outcome, earlier FROM accept($1::jsonb)',
    values: [input],
  });
  const answers: Answer[] = [];
  for (const row of rows) answers[row.n] = row;
  return answers;
}

function settle(group: readonly Waiting[], answers: readonly Answer[]): void {
  group.forEach((one, n) => {
    const outcome = answers[n]?.outcome;
    const refusal = REFUSALS.find((code) => code === outcome);
    if (outcome === 'accepted') one.resolve({ outcome, earlier: new Map(Object.entries(answers[n]?.earlier ?? {})) });
    else if (outcome === 'duplicate') one.resolve({ outcome });
    else one.reject(refusal === undefined ? new Error(`accept() answered ${outcome}`) : new ProoflineError(refusal));
  });
}
