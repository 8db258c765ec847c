/**
 * The entry of a bundle for an anchor on the Hedera Consensus Service (`hedera-hcs/v1`): what a stranger needs to
 * find the message on any mirror and to recompute the topic's running hash across it.
 */
import { equalBytes, fromBase64Url, utf8 } from '../bytes.ts';
import { parseEntityId, parseLedgerTime, parseTransactionId } from './entity-id.ts';
import { RUNNING_HASH_BYTES, runningHashV3 } from './running-hash.ts';

export const HEDERA_LEDGER = 'hedera-hcs/v1';

export interface HederaAnchorEntry {
  readonly ledger: typeof HEDERA_LEDGER;
  /** `mainnet`, `testnet`, `previewnet`, or a name such as `simulator`, which is shown wherever the anchor is. */
  readonly network: string;
  readonly topicId: string;
  /** 1 for the first message of the topic. */
  readonly sequenceNumber: number;
  /** `seconds.nnnnnnnnn`: the ledger's time of the message, and its address in explorers. */
  readonly consensusTimestamp: string;
  /** `payer@seconds.nnnnnnnnn` */
  readonly transactionId: string;
  readonly payer: string;
  /** `pl1|<origin id>|<size>|<root>` */
  readonly message: string;
  /** base64url of 48 bytes */
  readonly prevRunningHash: string;
  /** base64url of 48 bytes */
  readonly runningHash: string;
}

/** Why the numbers of an entry contradict each other, or undefined if they fit. It does not prove that the ledger holds them. */
export function findAnchorEntryFault(entry: HederaAnchorEntry): string | undefined {
  const payer = parseEntityId(entry.payer);
  const topicId = parseEntityId(entry.topicId);
  const consensusTimestamp = parseLedgerTime(entry.consensusTimestamp);
  const prevRunningHash = fromBase64Url(entry.prevRunningHash);
  const runningHash = fromBase64Url(entry.runningHash);
  if (payer === undefined) return 'payer is not an account id';
  if (topicId === undefined) return 'topicId is not a topic id';
  if (consensusTimestamp === undefined) return 'consensusTimestamp is not seconds.nanoseconds';
  if (parseTransactionId(entry.transactionId) === undefined) return 'transactionId is not payer@seconds.nanoseconds';
  if (!Number.isSafeInteger(entry.sequenceNumber) || entry.sequenceNumber < 1)
    return 'sequenceNumber is not a positive integer';
  if (prevRunningHash?.length !== RUNNING_HASH_BYTES) return 'prevRunningHash is not 48 bytes of base64url';
  if (runningHash?.length !== RUNNING_HASH_BYTES) return 'runningHash is not 48 bytes of base64url';
  const expected = runningHashV3({
    prevRunningHash,
    payer,
    topicId,
    consensusTimestamp,
    sequenceNumber: BigInt(entry.sequenceNumber),
    message: utf8.encode(entry.message),
  });
  return equalBytes(expected, runningHash)
    ? undefined
    : 'runningHash does not follow from prevRunningHash and the message';
}
