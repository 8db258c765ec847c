/**
 * Renewal of old tokens in bulk (RFC 4998 §5.2): one new token over a tree of up to 2,000, never one each. What is due is read
 * from the store anew for each chunk, so that a repeated or interrupted run goes on where it was.
 */

import { toHex } from '../../domain/bytes.ts';
import type { Clock } from '../../domain/clock.ts';
import { toMicros } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { type ArchivedToken, archiveSteps, rehashedLeaf } from '../../domain/evidence-record/archive-steps.ts';
import { buildHashTree } from '../../domain/evidence-record/hash-tree.ts';
import { HASHES, type HashName } from '../../domain/timestamp/hashes.ts';
import {
  type DueSelection,
  type NewMember,
  readChains,
  readTokensToRenew,
  storeArchiveToken,
} from '../../store/archive.ts';
import { completeRenewal, type RenewalRequest, readRenewalRequest } from '../../store/evidence-renewals.ts';
import { asStoreError, type Db, inTransaction } from '../../store/pool.ts';
import { readWeakCheckpoints, readWeakStatements, type WeakChain } from '../../store/weak-hashes.read.ts';
import type { StampChoice, TsaPool } from './tsa-pool.ts';

export interface EvidenceRenewalDeps {
  readonly db: Db;
  readonly pool: Pick<TsaPool, 'stamp'>;
  readonly clock: Clock;
  readonly origin: string;
  /** A token is renewed when its certificate ends within this; default 30 days. */
  readonly renewBeforeMs?: number;
  /** Tokens under one new one; default and upper bound 2,000. */
  readonly chunk?: number;
}

export interface RenewTokensInput {
  /** A row of `evidence_renewals`; absent: what is due by the end of certificates. */
  readonly request?: string;
  /** Where a hash-tree renewal goes on, as the last chunk said. */
  readonly after?: string;
  /** Renewed by the chunks before, for the row of the request. */
  readonly renewed?: number;
}

export interface RenewTokensResult {
  readonly renewed: number;
  readonly done: boolean;
  readonly after?: string;
}

export type EvidenceRenewalActivities = ReturnType<typeof createEvidenceRenewal>;

const RENEW_BEFORE_MS = 30 * 86_400_000;
const MAX_CHUNK = 2_000;
/** What follows a function that weakens. */
const STRONGER: HashName = 'SHA-512';
const sha256 = (bytes: Uint8Array): Uint8Array => HASHES['SHA-256'].hash(bytes);

export function createEvidenceRenewal(deps: EvidenceRenewalDeps) {
  const chunk = Math.min(deps.chunk ?? MAX_CHUNK, MAX_CHUNK);

  async function stampTree(hash: HashName, leaves: readonly Uint8Array[], choice: StampChoice) {
    const tree = buildHashTree(leaves, hash);
    const { revocation: _verdict, ...stamped } = await deps.pool.stamp(tree.root, undefined, choice);
    const token = { ...stamped, kind: 'renewal', hash, acceptedAt: deps.clock.nowMicros() } as const;
    return { token, pathOf: (leaf: Uint8Array) => tree.pathOf(leaf) ?? [] };
  }

  /** Timestamp renewal: the hashes of tokens in a tree. */
  async function renewTimestamps(selection: DueSelection, choice: StampChoice): Promise<number> {
    const due = await readTokensToRenew(deps.db, selection, chunk);
    const [first] = due;
    if (first === undefined) return 0;
    const { token, pathOf } = await stampTree(
      first.hash,
      due.map(({ leaf }) => leaf),
      choice,
    );
    const members = due.map(({ tokenSha256, leaf }): NewMember => ({ member: tokenSha256, path: pathOf(leaf) }));
    const renewed = due.map(({ tokenSha256 }) => tokenSha256);
    await inTransaction(deps.db, (tx) => storeArchiveToken(tx, token, members, renewed));
    return due.length;
  }

  /** Hash-tree renewal: data and all that protects it so far, under the stronger function. */
  async function rehash(chains: readonly WeakChain[]): Promise<void> {
    const hasFirst = chains[0]?.first !== undefined;
    const stored = await readChains(
      deps.db,
      chains.map(({ key }) => key),
      { hasFirst },
    );
    const prepared = chains.map(({ key, data, first }) => {
      const own: readonly ArchivedToken[] = first === undefined ? [] : [{ token: first, path: [], hash: 'SHA-256' }];
      const steps = archiveSteps(data, [...own, ...(stored.get(toHex(key)) ?? [])]);
      const newest = sha256(steps.at(-1)?.token ?? new Uint8Array(0));
      return { key, newest, covers: steps.length, leaf: rehashedLeaf(data, steps, STRONGER) };
    });
    const { token, pathOf } = await stampTree(
      STRONGER,
      prepared.map(({ leaf }) => leaf),
      {},
    );
    const members = prepared.map(({ key, covers, leaf }): NewMember => ({ member: key, covers, path: pathOf(leaf) }));
    const renewed = prepared.map(({ newest }) => newest);
    await inTransaction(deps.db, (tx) => storeArchiveToken(tx, token, members, renewed));
  }

  async function rehashPage({ after = 'checkpoints:0' }: RenewTokensInput): Promise<RenewTokensResult> {
    const [what, at = '0'] = after.split(':');
    const page =
      what === 'checkpoints'
        ? await readWeakCheckpoints(deps.db, deps.origin, STRONGER, BigInt(at), chunk)
        : await readWeakStatements(deps.db, STRONGER, BigInt(at), chunk);
    const last = page.at(-1);
    if (last !== undefined) {
      await rehash(page);
      return { renewed: page.length, done: false, after: `${what}:${last.at}` };
    }
    if (what === 'checkpoints') return { renewed: 0, done: false, after: 'statements:-1' };
    return { renewed: 0, done: true };
  }

  return {
    /**
     * Renews one chunk of what is due: by the schedule, tokens whose certificate ends within 30 days; by a request, those that
     * its reason names. Key: the newest token of each chain, which has one successor. Throws the codes of the pool; a token that
     * was had and not stored is lost, and another is asked for.
     */
    async renewTokens(input: RenewTokensInput): Promise<RenewTokensResult> {
      try {
        const request =
          input.request === undefined ? undefined : await readRenewalRequest(deps.db, BigInt(input.request));
        // Completed already: an earlier attempt did it.
        if (input.request !== undefined && request === undefined) return { renewed: 0, done: true };
        const step = request?.reason === 'HASH_WEAK' ? await rehashPage(input) : await renewDue(request);
        if (step.done && request !== undefined)
          await completeRenewal(deps.db, request.id, (input.renewed ?? 0) + step.renewed, deps.clock.nowMicros());
        return step;
      } catch (error) {
        throw error instanceof ProoflineError ? error : asStoreError(error);
      }
    },
  };

  async function renewDue(request: RenewalRequest | undefined): Promise<RenewTokensResult> {
    const endsBefore = toMicros(
      BigInt(Math.trunc(deps.clock.nowMs() + (deps.renewBeforeMs ?? RENEW_BEFORE_MS))) * 1000n,
    );
    const isWeak = request?.reason === 'TSA_WEAK';
    const selection: DueSelection =
      request === undefined
        ? { endsBefore, acceptedBefore: deps.clock.nowMicros() }
        : { acceptedBefore: request.requestedAt, ...(isWeak && { tsa: request.subject }) };
    const renewed = await renewTimestamps(selection, isWeak ? { except: [request.subject] } : {});
    return { renewed, done: renewed === 0 };
  }
}
