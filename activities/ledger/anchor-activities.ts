/**
 * The steps of an anchor, each safe to repeat at any point: what was signed is in Postgres before it is sent, the
 * ledger executes a transaction at most once, and every step first looks at what Postgres shows done.
 */
import { asyncLocalStorage } from '@temporalio/activity';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import {
  type AttemptKey,
  type AttemptRow,
  type AttemptState,
  moveAttempt,
  readAnchor,
  readAttempt,
  recordVerified,
  storePrepared,
} from '../../store/anchors.ts';
import type { Db } from '../../store/pool.ts';
import {
  type AnchorLedger,
  type MirrorVerdict,
  OUTCOME_UNKNOWN,
  type Prepared,
  type Receipt,
  type ReceiptOutcome,
} from './anchor-ledger.ts';

/** How long one activity polls nodes for a receipt before it asks the mirrors, and the pauses between, in ms. */
const RECEIPT_PATIENCE_MS = 30_000;
/** After a send of which nobody knows whether it arrived: consensus takes 3 to 5 s, and sending again does no harm. */
const UNSURE_PATIENCE_MS = 6_000;
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 4_000;

export interface LedgerDeps {
  readonly db: Db;
  readonly ledger: AnchorLedger;
  readonly clock: Clock;
  /** Applies what is covered to the proofs, a chunk at a time; true while more is left. */
  readonly advanceEvidence: (input: { readonly origin: string }) => Promise<boolean>;
  /** Tells Temporal that the activity lives. Default: the heartbeat of the activity it runs in, if any. */
  readonly heartbeat?: (detail: unknown) => void;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly receiptPatienceMs?: number;
}

export interface AnchorInput {
  readonly origin: string;
  /** Decimal. */
  readonly size: string;
}

export interface AttemptInput extends AnchorInput {
  readonly attempt: number;
}

/** Where an anchor stands after a step. `status`: the network's word for it, where it has one. */
export interface AnchorStep {
  readonly attempt: number;
  readonly state: AttemptState;
  readonly status?: string;
}

export type LedgerActivities = ReturnType<typeof createLedgerActivities>;

export function createLedgerActivities(deps: LedgerDeps) {
  const { db, ledger, clock } = deps;
  const heartbeat = deps.heartbeat ?? ((detail: unknown) => asyncLocalStorage.getStore()?.heartbeat(detail));
  const sleep = deps.sleep ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  const receiptPatienceMs = deps.receiptPatienceMs ?? RECEIPT_PATIENCE_MS;

  return {
    /**
     * Has a transaction signed and stores it, unless the anchor has one that may still be executed. Key (origin, size,
     * attempt): a repeat returns the stored one. Throws SIGNER_*, ANCHOR_MESSAGE_TOO_LONG, STORE_UNAVAILABLE.
     */
    async prepareAnchor({ origin, size }: AnchorInput): Promise<AnchorStep> {
      const anchor = await readAnchor(db, { origin, size: BigInt(size) });
      if (anchor === undefined) throw new ProoflineError('NOT_FOUND', `no anchor of ${origin} at ${size}`);
      const key = { origin, size: BigInt(size), attempt: anchor.attempt };
      const newest = anchor.attempt === 0 ? undefined : await readAttempt(db, key);
      // Only an attempt that definitively never executes makes room for another.
      if (newest !== undefined && newest.state !== 'EXPIRED' && newest.state !== 'FAILED') return step(newest);
      const prepared = await ledger.prepare(buildAnchorMessage({ origin, size: BigInt(size), root: anchor.root }));
      const { signedBytes, transactionId, ...rest } = prepared;
      // A crash before this line loses signatures of a transaction that nobody has sent.
      const row = await storePrepared(db, {
        ...key,
        attempt: anchor.attempt + 1,
        transactionId,
        prepared: rest,
        signedBytes,
        now: clock.nowMicros(),
      });
      return step(row);
    },

    /**
     * Sends the stored bytes. Key (origin, size, attempt): a repeat sends the same bytes, which count once. Returns
     * SENT when a copy may be under way or time is over, REJECTED when the network refuses it for a reason of ours.
     * Throws LEDGER_UNAVAILABLE when nodes ask to come back later.
     */
    async submitAnchor(input: AttemptInput): Promise<AnchorStep> {
      const { key, row } = await load(input);
      if (row.state !== 'PREPARED' && row.state !== 'REJECTED' && row.state !== 'SENT') return step(row);
      // A crash after this line leaves it PREPARED: the repeat is answered DUPLICATE_TRANSACTION, which counts as sent.
      const outcome = await ledger.submit(toPrepared(row));
      switch (outcome.kind) {
        case 'sent':
        case 'too-late':
          await moveAttempt(db, {
            ...key,
            state: 'SENT',
            now: clock.nowMicros(),
            ...(outcome.status === OUTCOME_UNKNOWN && { failure: { status: outcome.status } }),
          });
          return { attempt: row.attempt, state: 'SENT', status: outcome.status };
        case 'resend':
          throw new ProoflineError('LEDGER_UNAVAILABLE', `the nodes answer ${outcome.status}`);
        case 'rejected':
          return end(key, 'REJECTED', outcome.status);
      }
    },

    /**
     * Waits for the outcome of a sent transaction: nodes first, mirrors after `receiptPatienceMs`. Key (origin, size,
     * attempt). Returns CONSENSUS, FAILED (executed to no effect, for a reason of ours), EXPIRED (proven never to be
     * executed: another attempt may be made), or SENT with the status RESEND when the bytes should be sent again.
     * Throws LEDGER_NOT_CONFIRMED while nobody can tell.
     */
    async awaitAnchorReceipt(input: AttemptInput): Promise<AnchorStep> {
      const { key, row } = await load(input);
      if (row.state !== 'SENT') return step(row);
      const prepared = toPrepared(row);
      const isUnsure = row.failure?.status === OUTCOME_UNKNOWN;
      const outcome = await pollReceipt(
        prepared,
        isUnsure ? Math.min(UNSURE_PATIENCE_MS, receiptPatienceMs) : receiptPatienceMs,
      );
      switch (outcome.kind) {
        case 'consensus':
          await moveAttempt(db, {
            ...key,
            state: 'CONSENSUS',
            receipt: { ...outcome.receipt },
            now: clock.nowMicros(),
          });
          return { attempt: row.attempt, state: 'CONSENSUS' };
        case 'failed':
          return end(key, 'FAILED', outcome.status);
        case 'abandoned':
          return end(key, 'EXPIRED', outcome.status);
        case 'pending':
          if (ledger.isSendable(prepared)) return { attempt: row.attempt, state: 'SENT', status: 'RESEND' };
          if (await ledger.provenAbsent(prepared)) return end(key, 'EXPIRED', 'PROVEN_ABSENT');
          throw new ProoflineError('LEDGER_NOT_CONFIRMED', `nobody can tell what became of ${prepared.transactionId}`);
      }
    },

    /**
     * Compares what mirrors show with what was sent and recomputes the running hash; when a quorum agrees, writes the
     * entry and what is covered, and applies it to the proofs. Key (origin, size). Returns VERIFIED, or SUSPECT, which
     * nothing here ends. Throws LEDGER_NOT_CONFIRMED while mirrors lag.
     */
    async confirmAnchor(input: AttemptInput): Promise<AnchorStep> {
      const { key, row } = await load(input);
      if (row.state === 'CONSENSUS' || row.state === 'CONFIRMED') {
        const prepared = toPrepared(row);
        const confirmation = await ledger.confirm(prepared, toReceipt(row));
        const now = clock.nowMicros();
        const mirrors = { mirrors: confirmation.mirrors, at: now };
        switch (confirmation.kind) {
          case 'verified':
            await recordVerified(db, { ...key, entry: confirmation.entry, confirmation: mirrors, now });
            break;
          case 'suspect':
            await moveAttempt(db, {
              ...key,
              state: 'SUSPECT',
              confirmation: mirrors,
              failure: { status: 'LEDGER_SUSPECT' },
              now,
            });
            return { attempt: row.attempt, state: 'SUSPECT', status: summary(confirmation.mirrors) };
          case 'seen':
            await moveAttempt(db, { ...key, state: 'CONFIRMED', confirmation: mirrors, now });
            throw new ProoflineError('LEDGER_NOT_CONFIRMED', `too few mirrors yet: ${summary(confirmation.mirrors)}`);
          case 'pending':
            throw new ProoflineError('LEDGER_NOT_CONFIRMED', summary(confirmation.mirrors));
        }
      } else if (row.state !== 'VERIFIED') return step(row);
      // A crash before the end leaves proofs behind their cursor; the repeat goes on from it.
      while (await deps.advanceEvidence({ origin: input.origin })) heartbeat({ advancing: input.size });
      return { attempt: row.attempt, state: 'VERIFIED' };
    },
  };

  async function load(input: AttemptInput): Promise<{ key: AttemptKey; row: AttemptRow }> {
    const key = { origin: input.origin, size: BigInt(input.size), attempt: input.attempt };
    const row = await readAttempt(db, key);
    if (row === undefined)
      throw new ProoflineError('NOT_FOUND', `no attempt ${input.attempt} of the anchor at ${input.size}`);
    return { key, row };
  }

  async function end(key: AttemptKey, state: 'REJECTED' | 'FAILED' | 'EXPIRED', status: string): Promise<AnchorStep> {
    await moveAttempt(db, { ...key, state, failure: { status }, now: clock.nowMicros() });
    return { attempt: key.attempt, state, status };
  }

  /** Nodes tell within seconds of consensus and forget after three minutes; mirrors lag and never forget. */
  async function pollReceipt(prepared: Prepared, patienceMs: number): Promise<ReceiptOutcome> {
    const deadline = clock.nowMs() + patienceMs;
    let pause = FIRST_PAUSE_MS;
    for (let round = 0; ; round++) {
      const outcome = await ledger.receipt(prepared, round);
      if (outcome.kind !== 'pending') return outcome;
      heartbeat({ round });
      if (clock.nowMs() + pause >= deadline || !ledger.isSendable(prepared)) return ledger.lookUp(prepared);
      await sleep(pause);
      pause = Math.min(pause * 1.5, MAX_PAUSE_MS);
    }
  }
}

function step({ attempt, state }: AttemptRow): AnchorStep {
  return { attempt, state };
}

function toPrepared(row: AttemptRow): Prepared {
  return {
    ...(row.prepared as unknown as Omit<Prepared, 'signedBytes' | 'transactionId'>),
    transactionId: row.transactionId,
    signedBytes: row.signedBytes,
  };
}

function toReceipt({ receipt }: AttemptRow): Receipt {
  const { sequenceNumber, runningHash } = receipt ?? {};
  return {
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
    ...(runningHash === undefined ? {} : { runningHash }),
  };
}

function summary(mirrors: readonly MirrorVerdict[]): string {
  return mirrors
    .map(({ mirror, verdict, detail }) => `${mirror}: ${verdict}${detail === '' ? '' : `, ${detail}`}`)
    .join('; ');
}
