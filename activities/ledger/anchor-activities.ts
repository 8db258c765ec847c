/**
 * The steps of an anchor, each safe to repeat at any point: what was signed is in Postgres before it is sent, the
 * ledger executes a transaction at most once, and every step first looks at what Postgres shows done.
 */
import { asyncLocalStorage } from '@temporalio/activity';
import type { HcsAnchorEntry } from '../../domain/bundle.ts';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { type LedgerTime, parseLedgerTime, parseTransactionId } from '../../domain/ledger/entity-id.ts';
import {
  abandonSuspect,
  acceptSuspect,
  allowRetry,
  readPendingCommand,
  refuseAnchorCommand,
} from '../../store/anchor-commands.ts';
import {
  type AnchorKey,
  type AnchorRow,
  type AttemptKey,
  type AttemptRow,
  type AttemptState,
  isFrozen,
  moveAttempt,
  readAnchor,
  readAttempt,
  recordVerified,
  storePrepared,
} from '../../store/anchors.ts';
import type { Db } from '../../store/pool.ts';
import { readKnownHash } from '../../store/topic-cursors.ts';
import {
  type AnchorLedger,
  type Confirmation,
  type MirrorVerdict,
  OUTCOME_UNKNOWN,
  type Prepared,
  type Receipt,
  type ReceiptOutcome,
} from './anchor-ledger.ts';
import { BACKDATED_MS } from './sdk-sending.ts';

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
  /** Throws LEDGER_SETUP_INVALID while topic, keys, account or network are not what the ledger file says. */
  readonly requireSetup?: () => void;
  /** Told what came of each step; for metrics. */
  readonly onOutcome?: (outcome: AnchorOutcome) => void;
  /** Tells Temporal that the activity lives. Default: the heartbeat of the activity it runs in, if any. */
  readonly heartbeat?: (detail: unknown) => void;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly receiptPatienceMs?: number;
}

/** `consensusMs`: from submission to consensus. `confirmedMs`: from consensus to the agreement of the mirrors. */
export interface AnchorOutcome {
  readonly state: AttemptState;
  readonly status?: string;
  readonly consensusMs?: number;
  readonly confirmedMs?: number;
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
  /** It waits for an operator: `settleAnchor` tells when one has decided. */
  readonly isHeld?: true;
  /** An operator gave it up: a later window anchors again. */
  readonly isAbandoned?: true;
}

export interface SettleInput extends AnchorInput {
  /** The update `retryAnchor` came since the last look. */
  readonly isRetryAsked: boolean;
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
     * attempt): a repeat returns the stored one. What waits for an operator is returned as held. Throws SIGNER_*,
     * LEDGER_FROZEN, LEDGER_SETUP_INVALID, ANCHOR_MESSAGE_TOO_LONG, STORE_UNAVAILABLE.
     */
    async prepareAnchor({ origin, size }: AnchorInput): Promise<AnchorStep> {
      const anchor = await readAnchor(db, { origin, size: BigInt(size) });
      if (anchor === undefined) throw new ProoflineError('NOT_FOUND', `no anchor of ${origin} at ${size}`);
      const key = { origin, size: BigInt(size), attempt: anchor.attempt };
      const newest = anchor.attempt === 0 ? undefined : await readAttempt(db, key);
      if (anchor.state === 'FAILED') return { attempt: anchor.attempt, state: 'FAILED', isAbandoned: true };
      if (newest !== undefined && isHeld(newest, anchor)) return held(newest, anchor);
      // Only an attempt that definitively never executes makes room for another.
      if (newest !== undefined && newest.state !== 'EXPIRED' && newest.state !== 'FAILED') return step(newest);
      await requireSendable(key);
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
     * Throws LEDGER_UNAVAILABLE when nodes ask to come back later, LEDGER_FROZEN and
     * LEDGER_SETUP_INVALID before it is first sent.
     */
    async submitAnchor(input: AttemptInput): Promise<AnchorStep> {
      const { key, row } = await load(input);
      if (row.state !== 'PREPARED' && row.state !== 'REJECTED' && row.state !== 'SENT') return step(row);
      // What may be under way already is sent again whatever is wrong now: the ledger executes it once.
      if (row.state !== 'SENT') await requireSendable(key);
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
          tell({ state: 'SENT', status: outcome.status });
          return { attempt: row.attempt, state: 'SENT', status: outcome.status };
        case 'resend':
          tell({ state: row.state, status: outcome.status });
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
          tell({ state: 'CONSENSUS' });
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
     * only an operator's decision ends (`settleAnchor`). Throws LEDGER_NOT_CONFIRMED while mirrors lag.
     */
    async confirmAnchor(input: AttemptInput): Promise<AnchorStep> {
      const { key, row } = await load(input);
      if (row.state === 'CONSENSUS' || row.state === 'CONFIRMED') {
        const prepared = toPrepared(row);
        const confirmation = await compareWithTopic(await ledger.confirm(prepared, toReceipt(row)));
        const now = clock.nowMicros();
        const mirrors = { mirrors: confirmation.mirrors, at: now };
        switch (confirmation.kind) {
          case 'verified':
            await recordVerified(db, { ...key, ...verifiedParts(confirmation), confirmation: mirrors, now });
            tell({ state: 'VERIFIED', ...delaysOf(confirmation.entry, clock.nowMs()) });
            break;
          case 'suspect':
            await moveAttempt(db, {
              ...key,
              state: 'SUSPECT',
              confirmation: mirrors,
              failure: { status: 'LEDGER_SUSPECT' },
              now,
            });
            tell({ state: 'SUSPECT' });
            return { attempt: row.attempt, state: 'SUSPECT', status: summary(confirmation.mirrors), isHeld: true };
          case 'seen':
            await moveAttempt(db, { ...key, state: 'CONFIRMED', confirmation: mirrors, now });
            throw new ProoflineError('LEDGER_NOT_CONFIRMED', `too few mirrors yet: ${summary(confirmation.mirrors)}`);
          case 'pending':
            throw new ProoflineError('LEDGER_NOT_CONFIRMED', summary(confirmation.mirrors));
        }
      } else if (row.state !== 'VERIFIED') return row.state === 'SUSPECT' ? { ...step(row), isHeld: true } : step(row);
      await applyCover(input);
      return { attempt: row.attempt, state: 'VERIFIED' };
    },

    /**
     * Applies what operators decided about an anchor that is held: `retry` lets a rejected one be tried again; `abandon`
     * gives a suspect one up; `accept` lets it stand if every mirror that is still believed shows it, else the command is
     * refused. Key (command). Returns the anchor as it then is, held if nobody has decided. Throws LEDGER_NOT_CONFIRMED.
     */
    async settleAnchor({ origin, size, isRetryAsked }: SettleInput): Promise<AnchorStep> {
      const anchorKey = { origin, size: BigInt(size) };
      for (;;) {
        const { anchor, row } = await loadNewest(anchorKey);
        const command = await readPendingCommand(db, anchorKey);
        const now = clock.nowMicros();
        if (command === undefined) {
          if (anchor.state === 'FAILED') return { attempt: anchor.attempt, state: 'FAILED', isAbandoned: true };
          if (isRetryAsked && isHeld(row, anchor) && anchor.state === 'REJECTED') {
            await allowRetry(db, { ...anchorKey, now });
            return step(row);
          }
          if (anchor.state === 'VERIFIED') await applyCover({ origin });
          return isHeld(row, anchor) ? held(row, anchor) : step(row);
        }
        const decision = { ...anchorKey, attempt: row.attempt, command, now };
        const wanted = command.verb === 'retry' ? 'REJECTED' : 'SUSPECT';
        if (anchor.state !== wanted) {
          const detail = `${command.verb} of an anchor that is ${anchor.state}`;
          await refuseAnchorCommand(db, { ...decision, code: 'TRANSITION_NOT_ALLOWED', detail });
        } else if (command.verb === 'retry') await allowRetry(db, decision);
        else if (command.verb === 'abandon') await abandonSuspect(db, decision);
        else {
          const distrusted = command.evidence?.distrustedMirrors ?? [];
          const confirmation = await ledger.confirmWithout(toPrepared(row), distrusted);
          if (confirmation.kind === 'verified') {
            const confirmed = { mirrors: confirmation.mirrors, at: now, acceptedBy: command.id };
            await acceptSuspect(db, { ...decision, ...verifiedParts(confirmation), confirmation: confirmed });
          } else {
            const detail = `the mirrors that are believed do not show it: ${summary(confirmation.mirrors)}`;
            await refuseAnchorCommand(db, { ...decision, code: 'LEDGER_SUSPECT', detail });
          }
        }
        heartbeat({ settled: command.id });
      }
    },
  };

  function tell(outcome: AnchorOutcome): void {
    deps.onOutcome?.(outcome);
  }

  async function requireSendable(key: AttemptKey): Promise<void> {
    deps.requireSetup?.();
    if (await isFrozen(db, key)) throw new ProoflineError('LEDGER_FROZEN', 'another anchor is suspect');
  }

  /** What was seen at the place before is remembered: a history that all mirrors rewrote is a contradiction too. */
  async function compareWithTopic(confirmation: Confirmation): Promise<Confirmation> {
    if (confirmation.kind !== 'verified') return confirmation;
    const { entry, mirrors } = confirmation;
    const known = await readKnownHash(db, entry, BigInt(entry.sequenceNumber) - 1n);
    if (known === undefined || known === entry.prevRunningHash) return confirmation;
    const detail = 'the running hash before it is not the one that was seen there earlier';
    return {
      kind: 'suspect',
      mirrors: mirrors.map((one) => (one.verdict === 'ok' ? { ...one, verdict: 'mismatch', detail } : one)),
    };
  }

  /** A crash before the end leaves proofs behind their cursor; the repeat goes on from it. */
  async function applyCover({ origin }: { readonly origin: string }): Promise<void> {
    while (await deps.advanceEvidence({ origin })) heartbeat({ advancing: origin });
  }

  async function loadNewest(key: AnchorKey): Promise<{ anchor: AnchorRow; row: AttemptRow }> {
    const anchor = await readAnchor(db, key);
    const row = anchor && (await readAttempt(db, { ...key, attempt: anchor.attempt }));
    if (anchor === undefined || row === undefined)
      throw new ProoflineError('NOT_FOUND', `no attempt of an anchor of ${key.origin} at ${key.size}`);
    return { anchor, row };
  }

  async function load(input: AttemptInput): Promise<{ key: AttemptKey; row: AttemptRow }> {
    const key = { origin: input.origin, size: BigInt(input.size), attempt: input.attempt };
    const row = await readAttempt(db, key);
    if (row === undefined)
      throw new ProoflineError('NOT_FOUND', `no attempt ${input.attempt} of the anchor at ${input.size}`);
    return { key, row };
  }

  async function end(key: AttemptKey, state: 'REJECTED' | 'FAILED' | 'EXPIRED', status: string): Promise<AnchorStep> {
    await moveAttempt(db, { ...key, state, failure: { status }, now: clock.nowMicros() });
    tell({ state, status });
    return { attempt: key.attempt, state, status, ...(state !== 'EXPIRED' && { isHeld: true as const }) };
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

/** SUSPECT always; what the network ended for a reason of ours, until an operator's retry clears the anchor's failure. */
function isHeld(row: AttemptRow, anchor: AnchorRow): boolean {
  if (row.state === 'SUSPECT') return true;
  return (row.state === 'REJECTED' || row.state === 'FAILED') && anchor.failure !== null;
}

function held(row: AttemptRow, anchor: AnchorRow): AnchorStep {
  const status = row.failure?.status ?? anchor.failure?.status;
  return { ...step(row), isHeld: true, ...(status === undefined ? {} : { status }) };
}

/** Validity begins `BACKDATED_MS` before a transaction is signed, and it is sent at once. */
function delaysOf(entry: HcsAnchorEntry, nowMs: number): Pick<AnchorOutcome, 'consensusMs' | 'confirmedMs'> {
  const start = parseTransactionId(entry.transactionId)?.validStart;
  const reached = parseLedgerTime(entry.consensusTimestamp);
  if (start === undefined || reached === undefined) return {};
  const ms = ({ seconds, nanos }: LedgerTime): number => Number(seconds) * 1_000 + nanos / 1_000_000;
  return {
    consensusMs: Math.max(0, ms(reached) - ms(start) - BACKDATED_MS),
    confirmedMs: Math.max(0, nowMs - ms(reached)),
  };
}

function verifiedParts(confirmation: Extract<Confirmation, { kind: 'verified' }>) {
  const { entry, feeTinybars } = confirmation;
  return { entry, ...(feeTinybars === undefined ? {} : { feeTinybars }) };
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
