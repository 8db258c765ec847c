/**
 * Asks mirrors of the reader's choice whether the ledger shows an anchor. Of a message: its row, the row before it, the
 * running hash between them, and the transaction. Of a contract's entry: the result of the call with its one event, and
 * the transaction. All mirrors given must agree. Bounded: three reads a mirror.
 */
import type { AnchorEntry, ContractAnchorEntry, HcsAnchorEntry } from '../domain/bundle.ts';
import { fromBase64Url, toBase64Url, utf8 } from '../domain/bytes.ts';
import { formatMirrorTransactionId, parseLedgerTime, parseTransactionId } from '../domain/ledger/entity-id.ts';
import { findCallFault } from '../domain/ledger/registry-call.ts';
import { FIRST_PREV_RUNNING_HASH } from '../domain/ledger/running-hash.ts';
import { fromBase64 } from '../log/bytes.ts';
import type { Reason } from './verdict.ts';

/** One mirror's REST API. `read` gets a path below `/api/v1`; it rejects when the mirror cannot be asked. */
export interface MirrorReader {
  readonly name: string;
  read(path: string): Promise<{ readonly status: number; readonly body: unknown }>;
}

export interface MirrorAnswer {
  readonly verdict: 'valid' | 'invalid' | 'unverified';
  readonly reason: Reason;
  readonly detail: string;
}

/** Mirrors follow consensus by some seconds; what is older than this and not shown is not on the ledger. */
const MAX_MIRROR_LAG_MS = 5 * 60_000;

/** The weakest answer of all mirrors: one that differs condemns, one that is silent leaves it open. */
export async function askMirrors(
  entry: AnchorEntry,
  mirrors: readonly MirrorReader[],
  nowMs: number,
): Promise<MirrorAnswer> {
  const answers = await Promise.all(mirrors.map((mirror) => askMirror(entry, mirror, nowMs)));
  const bad =
    answers.find(({ verdict }) => verdict === 'invalid') ?? answers.find(({ verdict }) => verdict !== 'valid');
  if (bad !== undefined) return bad;
  return {
    verdict: 'valid',
    reason: 'anchor-on-ledger',
    detail: `shown by ${mirrors.map(({ name }) => name).join(', ')}`,
  };
}

interface Answers {
  readonly differs: (what: string) => MirrorAnswer;
  readonly open: (reason: Reason, what: string) => MirrorAnswer;
}

async function askMirror(entry: AnchorEntry, mirror: MirrorReader, nowMs: number): Promise<MirrorAnswer> {
  const differs = (what: string): MirrorAnswer => ({
    verdict: 'invalid',
    reason: 'ledger-differs',
    detail: `${mirror.name}: ${what}`,
  });
  const open = (reason: Reason, what: string): MirrorAnswer => ({
    verdict: 'unverified',
    reason,
    detail: `${mirror.name}: ${what}`,
  });
  try {
    const fault =
      entry.ledger === 'hedera-hcs/v1'
        ? await askMessage(entry, mirror, nowMs, { differs, open })
        : await askContract(entry, mirror, nowMs, { differs, open });
    return (
      fault ??
      (await askTransaction(entry, mirror, differs, open)) ?? {
        verdict: 'valid',
        reason: 'anchor-on-ledger',
        detail: mirror.name,
      }
    );
  } catch (error) {
    return open('ledger-unavailable', error instanceof Error ? error.message.slice(0, 200) : 'unreachable');
  }
}

/** Undefined when the message stands there. */
async function askMessage(
  entry: HcsAnchorEntry,
  mirror: MirrorReader,
  nowMs: number,
  { differs, open }: Answers,
): Promise<MirrorAnswer | undefined> {
  const messages = `/topics/${entry.topicId}/messages`;
  const sequence = BigInt(entry.sequenceNumber);
  const row = await mirror.read(`${messages}/${sequence}`);
  if (row.status === 404)
    return isOld(entry, nowMs)
      ? differs('has no such message')
      : open('ledger-behind', 'does not show the message yet');
  if (row.status !== 200) return open('ledger-unavailable', `HTTP ${row.status}`);
  const fault = findRowFault(row.body, entry, sequence);
  if (fault !== undefined) return differs(fault);
  if (sequence === 1n) {
    return entry.prevRunningHash === toBase64Url(FIRST_PREV_RUNNING_HASH)
      ? undefined
      : differs('the first message of a topic follows the empty running hash');
  }
  const before = await mirror.read(`${messages}/${sequence - 1n}`);
  if (before.status !== 200) return open('ledger-unavailable', `HTTP ${before.status} for the message before`);
  return bytesOf(members(before.body).running_hash) === entry.prevRunningHash
    ? undefined
    : differs('another running hash of the message before');
}

/** Undefined when the call stands there and made the entry. */
async function askContract(
  entry: ContractAnchorEntry,
  mirror: MirrorReader,
  nowMs: number,
  { differs, open }: Answers,
): Promise<MirrorAnswer | undefined> {
  const id = parseTransactionId(entry.transactionId);
  if (id === undefined) return differs('transactionId is malformed');
  const { status, body } = await mirror.read(`/contracts/results/${formatMirrorTransactionId(id)}`);
  if (status === 404)
    return isOld(entry, nowMs) ? differs('has no such call') : open('ledger-behind', 'does not show the call yet');
  if (status !== 200) return open('ledger-unavailable', `HTTP ${status}`);
  const fault = findCallFault(body, entry);
  return fault === undefined ? undefined : differs(fault);
}

async function askTransaction(
  entry: AnchorEntry,
  mirror: MirrorReader,
  differs: (what: string) => MirrorAnswer,
  open: (reason: Reason, what: string) => MirrorAnswer,
): Promise<MirrorAnswer | undefined> {
  const id = parseTransactionId(entry.transactionId);
  if (id === undefined) return differs('transactionId is malformed');
  const { status, body } = await mirror.read(`/transactions/${formatMirrorTransactionId(id)}`);
  if (status !== 200)
    return status === 404
      ? differs('has no such transaction')
      : open('ledger-unavailable', `HTTP ${status} for the transaction`);
  const { transactions } = members(body);
  const entity = entry.ledger === 'hedera-hcs/v1' ? entry.topicId : entry.contractId;
  const isThere =
    Array.isArray(transactions) &&
    transactions.slice(0, 100).some((one: unknown) => {
      const { result, entity_id, consensus_timestamp } = members(one);
      return result === 'SUCCESS' && entity_id === entity && consensus_timestamp === entry.consensusTimestamp;
    });
  return isThere ? undefined : differs('no successful transaction of that id made this anchor');
}

function findRowFault(body: unknown, entry: HcsAnchorEntry, sequence: bigint): string | undefined {
  const row = members(body);
  const expected: Readonly<Record<string, readonly [unknown, unknown]>> = {
    topic: [row.topic_id, entry.topicId],
    sequence: [String(row.sequence_number), sequence.toString()],
    'consensus timestamp': [row.consensus_timestamp, entry.consensusTimestamp],
    payer: [row.payer_account_id, entry.payer],
    message: [bytesOf(row.message), toBase64Url(utf8.encode(entry.message))],
    'running hash': [bytesOf(row.running_hash), entry.runningHash],
    'running hash version': [row.running_hash_version, 3],
  };
  const found = Object.entries(expected).find(([, [shown, held]]) => shown !== held);
  return found && `another ${found[0]}`;
}

function isOld(entry: AnchorEntry, nowMs: number): boolean {
  const time = parseLedgerTime(entry.consensusTimestamp);
  return time === undefined || BigInt(Math.trunc(nowMs)) - time.seconds * 1000n > BigInt(MAX_MIRROR_LAG_MS);
}

/** Mirrors write standard base64; the bundle base64url. Undefined for anything else. */
function bytesOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > 2_048) return undefined;
  try {
    return toBase64Url(fromBase64(value));
  } catch {
    return fromBase64Url(value) === undefined ? undefined : value;
  }
}

function members(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
