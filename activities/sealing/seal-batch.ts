import { setTimeout as pause } from 'node:timers/promises';
import { utf8 } from '../../domain/bytes.ts';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { BatchId } from '../../domain/ids.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { lookForJoiners, shutBatch, takeJoiners } from '../../store/batch-joiners.ts';
import { armBatch, findBatch, markSealed } from '../../store/batches.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import {
  type FrozenUpTo,
  failProofs,
  freezeStatements,
  readUnsealed,
  SEAL_CHUNK,
  storeSeals,
  thawUnsealed,
  type Unsealed,
} from '../../store/seals.ts';
import { activeVersion } from './active-version.ts';
import { type BulkLane, OPEN_LANE } from './bulk-lane.ts';
import type { Signer } from './signer-client.ts';

/** Key id of the seal key at the signer. */
export const SEAL_KID = 'seal';

export interface SealingDeps {
  readonly db: Db;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly origin: string;
  readonly randomBytes: (n: number) => Uint8Array;
  /** Tells Temporal that the activity lives; says how far it is. */
  readonly heartbeat: (detail: unknown) => void;
  /** Aborted when the process stops: a batch then waits for nobody any more. */
  readonly stopping?: AbortSignal;
  /** In which large batches take their chunks; absent, they give nobody way. */
  readonly bulkLane?: BulkLane;
}

/**
 * Joiners are looked for this often. Each look that finds some costs a dozen statements and a call to the signer,
 * however many they are; checkpoints, 75 ms apart at best, would gain little from more.
 */
const ROUND_MS = 30;

export interface SealBatchInput {
  readonly batchId: string;
}

export interface SealBatchResult {
  /** Members, those that joined included. */
  readonly proofCount: number;
  readonly sealed: number;
  readonly failed: number;
  /** To be looked at without a wake: the evidence is complete already, or a wake may have gone with a former run. */
  readonly complete: boolean;
}

interface Tally {
  sealed: number;
  failed: number;
}

export type SealingActivities = ReturnType<typeof createSealing>;

export function createSealing(deps: SealingDeps) {
  const { db, signer, clock, bulkLane = OPEN_LANE } = deps;

  return {
    /**
     * Seals the members of a batch: freezes their statements chunk by chunk, has them signed, keeps the seals and
     * queues the leaves. Key (batch, proof): what is frozen, sealed or failed already is skipped. One refused value
     * fails alone. Throws SIGNER_*, STORE_UNAVAILABLE.
     */
    async sealBatch({ batchId }: SealBatchInput): Promise<SealBatchResult> {
      const batch = batchId as BatchId;
      // Asked first: members that were final before they were frozen stay so.
      const { mayGrow, isRepeated, isLarge } = await findBatch(db, batch);
      const lane = isLarge ? bulkLane : OPEN_LANE;
      const tally: Tally = { sealed: 0, failed: 0 };
      await freeze(batch, lane);
      await sealAll(batch, tally, mayGrow, lane);
      if (mayGrow) await sealJoiners(batch, tally);
      const { arm, proofCount } = await inTransaction(db, async (tx) => ({
        arm: await armBatch(tx, batch, deps.origin, clock.nowMicros()),
        proofCount: await markSealed(tx, batch, clock.nowMicros()),
      }));
      return { proofCount, sealed: tally.sealed, failed: tally.failed, complete: arm.complete || isRepeated };
    },
  };

  /** Seals whoever joins, until the batch is shut; then whoever joined through a twin of this attempt. */
  async function sealJoiners(batch: BatchId, tally: Tally): Promise<void> {
    while (deps.stopping?.aborted !== true) {
      const nextMs = performance.now() + ROUND_MS;
      const look = await lookForJoiners(db, { batch, now: clock.nowMicros() });
      if (look === 'shut') break;
      if (look === 'some') await sealRound(batch, tally);
      deps.heartbeat({ sealed: tally.sealed });
      await pause(Math.max(0, nextMs - performance.now()), undefined, { signal: deps.stopping }).catch(() => undefined);
    }
    await shutBatch(db, batch);
    await freeze(batch);
    await sealAll(batch, tally, false);
  }

  /** Takes and freezes who waits in one transaction, then signs and stores. What the signer refuses is read anew. */
  async function sealRound(batch: BatchId, tally: Tally): Promise<void> {
    const version = await activeVersion(signer, SEAL_KID);
    const frozen = await inTransaction(db, async (tx) => {
      const joined = await takeJoiners(tx, { batch, now: clock.nowMicros() });
      if (joined.length === 0) return [];
      return (await freezeStatements(tx, { batch, kid: SEAL_KID, version, randomBytes: deps.randomBytes, joined }))
        .frozen;
    });
    if (frozen.length === 0) return;
    try {
      tally.sealed += await store(batch, frozen, await sign(batch, frozen), true);
    } catch (error) {
      if (!(error instanceof ProoflineError)) throw error;
      await mend(batch, frozen, error, tally);
      await sealAll(batch, tally, true);
    }
  }

  /**
   * Signs chunk after chunk, the next while the last is being stored; whatever the signer refuses is mended, and then
   * what is left is read anew.
   */
  async function sealAll(batch: BatchId, tally: Tally, mayGrow: boolean, lane = OPEN_LANE): Promise<void> {
    let storing: Promise<void> = Promise.resolve();
    let after: number | undefined;
    try {
      for (;;) {
        const chunk = await readUnsealed(db, batch, SEAL_CHUNK, after);
        if (chunk.length === 0) {
          await storing;
          if (after === undefined) return;
          after = undefined;
          continue;
        }
        let signatures: readonly Uint8Array[];
        try {
          signatures = await lane.step(async () => {
            const signed = await sign(batch, chunk);
            await storing;
            return signed;
          });
        } catch (error) {
          if (!(error instanceof ProoflineError)) throw error;
          await storing;
          await mend(batch, chunk, error, tally);
          after = undefined;
          continue;
        }
        // After a crash here the signer replays the same signatures; whichever are stored first stay.
        storing = store(batch, chunk, signatures, mayGrow).then((count) => {
          tally.sealed += count;
          deps.heartbeat({ sealed: tally.sealed });
        });
        // It is awaited in the next turn; a turn that fails before must not leave it unheard.
        storing.catch(() => undefined);
        after = chunk.at(-1)?.ordinal;
      }
    } finally {
      // Nothing of an attempt goes on beside the next.
      await storing.catch(() => undefined);
    }
  }

  /** Deals with a chunk that the signer refused. Throws what is not the chunk's fault. */
  async function mend(batch: BatchId, chunk: readonly Unsealed[], error: ProoflineError, tally: Tally): Promise<void> {
    if (error.code === 'SIGNER_KEY_NOT_ACTIVE') {
      // A crash here leaves the statements unfrozen; the next attempt freezes them with the next version.
      await thawUnsealed(db, batch);
      await freeze(batch);
    } else if (error.code === 'SIGNER_REFUSED') {
      tally.failed += await failRefused(batch, chunk, error);
    } else throw error;
  }

  async function freeze(batch: BatchId, lane = OPEN_LANE): Promise<void> {
    const version = await activeVersion(signer, SEAL_KID);
    const input = { batch, kid: SEAL_KID, version, randomBytes: deps.randomBytes };
    let after: FrozenUpTo | undefined;
    do {
      ({ after } = await lane.step(() => inTransaction(db, (tx) => freezeStatements(tx, { ...input, after }))));
      deps.heartbeat({ freezing: true });
    } while (after !== undefined);
  }

  async function sign(batch: BatchId, chunk: readonly Unsealed[]): Promise<readonly Uint8Array[]> {
    const { kid, version } = chunk[0] as Unsealed;
    const header = sealHeader(kid, version);
    const start = utf8.decode(sealSigningInput(header, new Uint8Array(0)));
    // Pooled: a typed array each would be another allocation outside the heap.
    const values = chunk.map((u) => Buffer.from(`${start}${u.statement}`, 'utf8'));
    return (await signer.sign({ kid, version, alg: 'ES256', kind: 'tbs', values, context: { batch, step: 'seal' } }))
      .signatures;
  }

  async function seal(batch: BatchId, chunk: readonly Unsealed[]): Promise<number> {
    return store(batch, chunk, await sign(batch, chunk), true);
  }

  function store(
    batch: BatchId,
    chunk: readonly Unsealed[],
    signatures: readonly Uint8Array[],
    mayGrow: boolean,
  ): Promise<number> {
    const seals = chunk.map((u, i) => ({ ...u, signature: signatures[i] as Uint8Array }));
    return storeSeals(db, { batch, seals, now: clock.nowMicros(), mayGrow });
  }

  /** Named by index, or found by halving the chunk until one value stands alone. */
  async function failRefused(batch: BatchId, chunk: readonly Unsealed[], error: ProoflineError): Promise<number> {
    const index = error.extra.index;
    if (typeof index === 'number' && chunk[index] !== undefined) return fail(batch, chunk[index], error);
    if (chunk.length === 1) return fail(batch, chunk[0] as Unsealed, error);
    const half = chunk.slice(0, Math.ceil(chunk.length / 2));
    try {
      await seal(batch, half);
      return 0;
    } catch (again) {
      if (again instanceof ProoflineError && again.code === 'SIGNER_REFUSED') return failRefused(batch, half, again);
      throw again;
    }
  }

  function fail(batch: BatchId, refused: Unsealed, error: ProoflineError): Promise<number> {
    return failProofs(db, {
      batch,
      stage: 'SEALED',
      now: clock.nowMicros(),
      failures: [{ proofId: refused.proofId, code: error.code, detail: error.detail }],
    });
  }
}
