/**
 * The arithmetic of an anchor: an entry holds what a stranger needs to find it on any mirror. Of the Hedera Consensus
 * Service (`hedera-hcs/v1`) that is the message, with what recomputes the topic's running hash across it; of the
 * registry contract (`hedera-contract/v1`) the call, whose arguments follow from the message.
 */
import type { AnchorEntry, ContractAnchorEntry, HcsAnchorEntry } from '../bundle.ts';
import { equalBytes, fromBase64Url, utf8 } from '../bytes.ts';
import { registryEntryOf } from './checkpoint-registry.ts';
import { parseEntityId, parseLedgerTime, parseTransactionId } from './entity-id.ts';
import { RUNNING_HASH_BYTES, runningHashV3 } from './running-hash.ts';

const PUBLISHER = /^0x[0-9a-f]{40}$/;
const SEQUENCE_NUMBER = /^[1-9][0-9]{0,17}$/;

/** Why the numbers of an entry contradict each other, or undefined if they fit. It does not prove that the ledger holds them. */
export function findAnchorEntryFault(entry: AnchorEntry): string | undefined {
  return entry.ledger === 'hedera-contract/v1' ? findContractFault(entry) : findMessageFault(entry);
}

function findContractFault(entry: ContractAnchorEntry): string | undefined {
  if (parseEntityId(entry.payer) === undefined) return 'payer is not an account id';
  if (parseEntityId(entry.contractId) === undefined) return 'contractId is not a contract id';
  if (parseLedgerTime(entry.consensusTimestamp) === undefined) return 'consensusTimestamp is not seconds.nanoseconds';
  if (parseTransactionId(entry.transactionId) === undefined) return 'transactionId is not payer@seconds.nanoseconds';
  if (!PUBLISHER.test(entry.publisher)) return 'publisher is not an address';
  return registryEntryOf(entry.message) === undefined
    ? 'message is none that the contract has arguments for'
    : undefined;
}

function findMessageFault(entry: HcsAnchorEntry): string | undefined {
  const payer = parseEntityId(entry.payer);
  const topicId = parseEntityId(entry.topicId);
  const consensusTimestamp = parseLedgerTime(entry.consensusTimestamp);
  const prevRunningHash = fromBase64Url(entry.prevRunningHash);
  const runningHash = fromBase64Url(entry.runningHash);
  if (payer === undefined) return 'payer is not an account id';
  if (topicId === undefined) return 'topicId is not a topic id';
  if (consensusTimestamp === undefined) return 'consensusTimestamp is not seconds.nanoseconds';
  if (parseTransactionId(entry.transactionId) === undefined) return 'transactionId is not payer@seconds.nanoseconds';
  if (!SEQUENCE_NUMBER.test(entry.sequenceNumber)) return 'sequenceNumber is not a positive decimal';
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
