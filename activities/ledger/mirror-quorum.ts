/**
 * What several mirrors say together. One contradiction makes an anchor suspect; silence only delays. A mirror that
 * does not answer counts neither way.
 */
import { createHash } from 'node:crypto';
import { proto } from '@hiero-ledger/proto';
import type { Clock } from '../../domain/clock.ts';
import { parseLedgerTime, parseTransactionId } from '../../domain/ledger/entity-id.ts';
import type { Confirmation, LedgerHealth, MirrorVerdict, Prepared, Receipt, ReceiptOutcome } from './anchor-ledger.ts';
import { checkMirror, type Testimony } from './check-mirror.ts';
import { decideReceipt } from './decision-tables.ts';
import { decisiveCopy, type MirrorClient, MirrorUnreachable } from './mirror-client.ts';

/** What a quorum of mirrors says became of a transaction. */
export async function lookUp(
  mirrors: readonly MirrorClient[],
  quorum: number,
  prepared: Pick<Prepared, 'transactionId'>,
): Promise<ReceiptOutcome> {
  const id = parseTransactionId(prepared.transactionId);
  if (id === undefined) return { kind: 'pending' };
  const answers = await Promise.all(mirrors.map((mirror) => mirror.transaction(id).catch(ignoreUnreachable)));
  const results = answers.flatMap((rows) => decisiveCopy(rows ?? [])?.result ?? []);
  if (results.length < quorum) return { kind: 'pending' };
  const [status] = results;
  // Mirrors that contradict each other are for `confirm` to judge, never a reason to send again.
  if (status === undefined || results.some((result) => result !== status)) return { kind: 'consensus', receipt: {} };
  const decision = decideReceipt(status);
  if (decision === 'consensus') return { kind: 'consensus', receipt: {} };
  return decision === 'pending' ? { kind: 'pending' } : { kind: decision, status };
}

/** Every mirror's testimony; `verified` when a quorum shows the same and none contradicts. */
export async function confirm(
  mirrors: readonly MirrorClient[],
  quorum: number,
  prepared: Prepared,
  receipt: Receipt,
): Promise<Confirmation> {
  const hashes = hashesOf(prepared.signedBytes);
  const testimonies = await Promise.all(
    mirrors.map((mirror) => checkMirror(mirror, prepared, receipt, hashes).catch(ignoreUnreachable)),
  );
  const verdicts = testimonies.map((testimony, i) => toVerdict(mirrors[i]?.url ?? '', testimony));
  const entries = testimonies.flatMap((testimony) => (testimony?.kind === 'ok' ? [testimony.entry] : []));
  const [entry] = entries;
  const fee = testimonies.find((testimony) => testimony?.kind === 'ok')?.chargedTinybars;
  const disagree = entries.some((other) => JSON.stringify(other) !== JSON.stringify(entry));
  if (disagree) {
    return {
      kind: 'suspect',
      mirrors: verdicts.map((verdict) => ({
        ...verdict,
        detail: verdict.detail || 'the mirrors contradict each other',
      })),
    };
  }
  if (verdicts.some((verdict) => verdict.verdict === 'mismatch')) return { kind: 'suspect', mirrors: verdicts };
  if (entry !== undefined && entries.length >= quorum)
    return {
      kind: 'verified',
      entry,
      mirrors: verdicts,
      ...(fee === undefined ? {} : { feeTinybars: fee.toString() }),
    };
  return { kind: entry === undefined ? 'pending' : 'seen', mirrors: verdicts };
}

function toVerdict(mirror: string, testimony: Testimony | undefined): MirrorVerdict {
  if (testimony === undefined) return { mirror, verdict: 'unreachable', detail: 'it did not answer' };
  return { mirror, verdict: testimony.kind, detail: testimony.kind === 'ok' ? '' : testimony.detail };
}

/** The block is asked for first: a transaction imported between the two requests is then found by the second. */
export async function isProvenAbsent(
  mirrors: readonly MirrorClient[],
  quorum: number,
  prepared: Pick<Prepared, 'transactionId' | 'validSeconds'>,
): Promise<boolean> {
  const id = parseTransactionId(prepared.transactionId);
  if (id === undefined) return false;
  const endSeconds = id.validStart.seconds + BigInt(prepared.validSeconds);
  const verdicts = await Promise.all(
    mirrors.map(async (mirror) => {
      try {
        const blockEnd = parseLedgerTime((await mirror.newestBlockEnd()) ?? '');
        const isPast = blockEnd !== undefined && blockEnd.seconds > endSeconds;
        const rows = await mirror.transaction(id);
        return rows !== undefined ? 'present' : isPast ? 'absent' : 'unknown';
      } catch (error) {
        if (error instanceof MirrorUnreachable) return 'unknown';
        throw error;
      }
    }),
  );
  return !verdicts.includes('present') && verdicts.filter((verdict) => verdict === 'absent').length >= quorum;
}

/** How far mirrors lag, and what the payer has left. */
export async function readHealth(mirrors: readonly MirrorClient[], payer: string, clock: Clock): Promise<LedgerHealth> {
  const lags = await Promise.all(
    mirrors.map(async (mirror) => {
      const end = parseLedgerTime((await mirror.newestBlockEnd().catch(ignoreUnreachable)) ?? '');
      return {
        mirror: mirror.url,
        lagMs: end === undefined ? undefined : Math.max(0, clock.nowMs() - Number(end.seconds) * 1_000),
      };
    }),
  );
  for (const mirror of mirrors) {
    const balance = await mirror.balance(payer).catch(ignoreUnreachable);
    if (balance !== undefined) return { mirrors: lags, payerTinybars: balance.toString() };
  }
  return { mirrors: lags, payerTinybars: undefined };
}

function ignoreUnreachable(error: unknown): undefined {
  if (error instanceof MirrorUnreachable) return undefined;
  throw error;
}

/** SHA-384 of the signed bytes of each node's copy: what a mirror shows as the transaction's hash. */
export function hashesOf(listBytes: Uint8Array): Uint8Array[] {
  return proto.TransactionList.decode(listBytes).transactionList.map((transaction) =>
    createHash('sha384')
      .update(transaction.signedTransactionBytes ?? new Uint8Array())
      .digest(),
  );
}
