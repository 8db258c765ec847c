import { setTimeout as pause } from 'node:timers/promises';
import { utf8 } from '../../domain/bytes.ts';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { BatchId, SubmissionId } from '../../domain/ids.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { lookForJoiners, shutBatch, takeJoiners } from '../../store/batch-joiners.ts';
import { armBatch, findBatch, markSealed } from '../../store/batches.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import {
  type FrozenUpTo,
  failProofs,
  freezeStatements,
  hasUnsealed,
  readUnsealed,
  SEAL_CHUNK,
  storeSeals,
  thawUnsealed,
  type Unsealed,
} from '../../store/seals.ts';
import { activeVersion } from './active-version.ts';
import { type GivingLane, type GivingLanes, OPEN_LANES } from './giving-lane.ts';
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
  /** In which batches take their chunks; absent, they give nobody way. */
  readonly lanes?: GivingLanes;
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

/** What an attempt knows of the batch that it seals. */
interface Run {
  readonly batch: BatchId;
  readonly mayGrow: boolean;
  readonly lane: GivingLane;
  readonly tally: Tally;
}

/** At most `SEAL_CHUNK`, all of one key version. */
type Chunk<T extends Unsealed = Unsealed> = readonly T[];
type Seal = Unsealed & { readonly signature: Uint8Array };

export type SealingActivities = ReturnType<typeof createSealing>;

export function createSealing(deps: SealingDeps) {
  const { db, signer, clock, lanes = OPEN_LANES } = deps;

  return {
    /**
     * Seals the members of a batch: freezes their statements chunk by chunk, has them signed, keeps the seals and
     * queues the leaves. Key (batch, proof): what is frozen, sealed or failed already is skipped. One refused value
     * fails alone. Throws SIGNER_*, STORE_UNAVAILABLE, INTERNAL if a member is left, whom the next attempt seals.
     */
    async sealBatch({ batchId }: SealBatchInput): Promise<SealBatchResult> {
      const batch = batchId as BatchId;
      // Asked first: members that were final before they were frozen stay so.
      const { mayGrow, isRepeated, lane } = await findBatch(db, batch);
      const tally: Tally = { sealed: 0, failed: 0 };
      const run: Run = { batch, tally, mayGrow, lane: lanes[lane] };
      await sealAll(run);
      if (mayGrow) await sealJoiners(run);
      // A twin may have thawed what this attempt found frozen, and died: nobody comes back to a batch that is sealed.
      if (await hasUnsealed(db, batch))
        throw new ProoflineError('INTERNAL', `batch ${batch} has members without a seal`);
      const { arm, proofCount } = await inTransaction(db, async (tx) => ({
        arm: await armBatch(tx, batch, deps.origin, clock.nowMicros()),
        proofCount: await markSealed(tx, batch, clock.nowMicros()),
      }));
      return { proofCount, sealed: tally.sealed, failed: tally.failed, complete: arm.complete || isRepeated };
    },
  };

  /** Seals whoever joins, until the batch is shut; then whoever joined through a twin of this attempt. */
  async function sealJoiners(run: Run): Promise<void> {
    const { batch, tally } = run;
    while (deps.stopping?.aborted !== true) {
      const nextMs = performance.now() + ROUND_MS;
      const look = await lookForJoiners(db, { batch, now: clock.nowMicros() });
      if (look === 'shut') break;
      if (look === 'some') await sealRound(run);
      deps.heartbeat({ sealed: tally.sealed });
      await pause(Math.max(0, nextMs - performance.now()), undefined, { signal: deps.stopping }).catch(() => undefined);
    }
    await shutBatch(db, batch);
    await sealAll({ ...run, mayGrow: false });
  }

  /** Takes and seals who waits. */
  async function sealRound(run: Run): Promise<void> {
    if ((await sealChunks(run, freeze(run.batch, 'joiners'))) === 'mended') await sealFrozen(run);
  }

  /** Seals who has no statement yet, and then what is frozen: by a former attempt, or a twin. */
  async function sealAll(run: Run): Promise<void> {
    await sealChunks(run, freeze(run.batch, 'members'));
    await sealFrozen(run);
  }

  /** Seals what is frozen, until nothing is left of it. */
  async function sealFrozen(run: Run): Promise<void> {
    while ((await sealChunks(run, readFrozen(run.batch))) !== 'nothing');
  }

  /**
   * Signs and stores chunk after chunk, each signed while the one before is stored; none is frozen meanwhile, since that
   * locks the batch as storing does. `mended`: the signer refused something, and the rest of its chunk is to be read anew.
   */
  async function sealChunks(
    run: Run,
    chunks: AsyncGenerator<Chunk, undefined>,
  ): Promise<'nothing' | 'sealed' | 'mended'> {
    const { batch, tally, lane } = run;
    let outcome: 'nothing' | 'sealed' | 'mended' = 'nothing';
    let signed: Chunk<Seal> | undefined;
    for (;;) {
      const { chunk, refusal } = await lane.step(async () => {
        const { value: next } = await chunks.next();
        const mayGrow = run.mayGrow || next !== undefined;
        // Both are waited for, whichever fails: nothing of an attempt goes on beside the next. After a crash here the signer
        // replays the same signatures; whichever are stored first stay.
        const [storing, signing] = await Promise.allSettled([
          signed && store(batch, signed, mayGrow),
          next && sign(batch, next),
        ]);
        if (storing.status === 'rejected') throw storing.reason;
        tally.sealed += storing.value ?? 0;
        signed = signing.status === 'fulfilled' ? signing.value : undefined;
        return { chunk: next, refusal: signing.status === 'rejected' ? signing.reason : undefined };
      });
      deps.heartbeat({ sealed: tally.sealed });
      if (chunk === undefined) return outcome;
      if (refusal !== undefined) await mend(run, chunk, refusal);
      if (outcome !== 'mended') outcome = refusal === undefined ? 'sealed' : 'mended';
    }
  }

  /** Freezes who has no statement: all members, or those alone who join now, taken with the first chunk. */
  async function* freeze(batch: BatchId, who: 'members' | 'joiners'): AsyncGenerator<Chunk, undefined> {
    const version = await activeVersion(signer, SEAL_KID);
    let joined: readonly SubmissionId[] | undefined;
    let after: FrozenUpTo | undefined;
    do {
      const step = await inTransaction(db, async (tx) => {
        if (who === 'joiners') joined ??= await takeJoiners(tx, { batch, now: clock.nowMicros() });
        return freezeStatements(tx, { batch, kid: SEAL_KID, version, randomBytes: deps.randomBytes, joined, after });
      });
      if (step.frozen.length > 0) yield step.frozen;
      after = step.after;
    } while (after !== undefined);
  }

  async function* readFrozen(batch: BatchId): AsyncGenerator<Chunk, undefined> {
    for (let after: number | undefined; ; ) {
      const chunk = await readUnsealed(db, batch, SEAL_CHUNK, after);
      if (chunk.length === 0) return;
      yield chunk;
      after = chunk.at(-1)?.ordinal;
    }
  }

  /** Deals with a chunk that the signer refused. Throws what is not the chunk's fault. */
  async function mend(run: Run, chunk: Chunk, error: unknown): Promise<void> {
    if (!(error instanceof ProoflineError)) throw error;
    if (error.code === 'SIGNER_KEY_NOT_ACTIVE') {
      // A crash here leaves the statements unfrozen; the next attempt freezes them with the next version.
      await thawUnsealed(db, run.batch);
      for await (const _ of freeze(run.batch, 'members')) deps.heartbeat({ freezing: true });
    } else if (error.code === 'SIGNER_REFUSED') {
      run.tally.failed += await failRefused(run, chunk, error);
    } else throw error;
  }

  async function sign(batch: BatchId, chunk: Chunk): Promise<Chunk<Seal>> {
    const { kid, version } = chunk[0] as Unsealed;
    const header = sealHeader(kid, version);
    const start = utf8.decode(sealSigningInput(header, new Uint8Array(0)));
    // Pooled: a typed array each would be another allocation outside the heap.
    const values = chunk.map((u) => Buffer.from(`${start}${u.statement}`, 'utf8'));
    const request = { kid, version, alg: 'ES256', kind: 'tbs', values, context: { batch, step: 'seal' } } as const;
    const { signatures } = await signer.sign(request);
    return chunk.map((u, i) => ({ ...u, signature: signatures[i] as Uint8Array }));
  }

  function store(batch: BatchId, seals: Chunk<Seal>, mayGrow: boolean): Promise<number> {
    return storeSeals(db, { batch, seals, now: clock.nowMicros(), mayGrow });
  }

  /** Named by index, or found by halving the chunk until one value stands alone. */
  async function failRefused(run: Run, chunk: Chunk, error: ProoflineError): Promise<number> {
    const { batch, tally } = run;
    const index = error.extra.index;
    if (typeof index === 'number' && chunk[index] !== undefined) return fail(batch, chunk[index], error);
    if (chunk.length === 1) return fail(batch, chunk[0] as Unsealed, error);
    const half = chunk.slice(0, Math.ceil(chunk.length / 2));
    try {
      tally.sealed += await store(batch, await sign(batch, half), true);
      return 0;
    } catch (again) {
      if (again instanceof ProoflineError && again.code === 'SIGNER_REFUSED') return failRefused(run, half, again);
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
