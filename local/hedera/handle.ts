/** What consensus does with a transaction: checks again, charges, and applies it to the ledger. */
import type { proto } from '@hiero-ledger/proto';
import { parseEntityId } from '../../domain/ledger/entity-id.ts';
import { FIRST_PREV_RUNNING_HASH, runningHashV3 } from '../../domain/ledger/running-hash.ts';
import { nodeAndNetworkFee } from './fees.ts';
import { feeOf } from './ingest.ts';
import { isRemoval, isSatisfied, isWellFormedKey } from './keys.ts';
import { FEE_COLLECTOR, type HandledTransaction, type LedgerState, type Topic, type TopicMessage } from './state.ts';
import type { DecodedTransaction } from './transaction.ts';
import { accountText, type Status, toBig, topicText, transactionIdText } from './wire.ts';

const MAX_MESSAGE_BYTES = 1_024;
const SECOND_NANOS = 1_000_000_000n;

export interface ConsensusMoment {
  readonly consensusNanos: bigint;
  readonly handledAtMs: number;
  /** Ends the transaction with this status instead of handling it: an armed fault, or what a journal recorded. */
  readonly forcedStatus?: Status | undefined;
}

interface Outcome {
  readonly status: Status;
  readonly entity?: string;
  readonly message?: TopicMessage;
}

/** Applies one transaction and appends it to the ledger's history, whatever came of it. */
export function handleTransaction(
  state: LedgerState,
  transaction: DecodedTransaction,
  moment: ConsensusMoment,
): HandledTransaction {
  const isDuplicate = (state.byId.get(transaction.id) ?? []).some(
    (earlier) => earlier.status !== 'INVALID_NODE_ACCOUNT',
  );
  const fee = isDuplicate ? nodeAndNetworkFee() : feeOf(transaction);
  const outcome = decide(state, transaction, moment, isDuplicate, fee);
  const handled: HandledTransaction = {
    id: transaction.id,
    payer: transaction.payer,
    node: transaction.node,
    kind: transaction.kind ?? '',
    consensusNanos: moment.consensusNanos,
    handledAtMs: moment.handledAtMs,
    validStartNanos: transaction.validStartNanos,
    validSeconds: transaction.validSeconds,
    maxFee: transaction.maxFee,
    memo: transaction.body.memo,
    hash: transaction.hash,
    status: outcome.status,
    chargedFee: charge(state, transaction.payer, fee),
    entity: outcome.entity,
    message: outcome.message,
  };
  state.lastConsensusNanos = moment.consensusNanos;
  state.transactions.push(handled);
  state.byId.set(transaction.id, [...(state.byId.get(transaction.id) ?? []), handled]);
  return handled;
}

function decide(
  state: LedgerState,
  transaction: DecodedTransaction,
  moment: ConsensusMoment,
  isDuplicate: boolean,
  fee: bigint,
): Outcome {
  const endNanos = transaction.validStartNanos + BigInt(transaction.validSeconds) * SECOND_NANOS;
  // What a journal says succeeded succeeds again, whatever fees and limits are now.
  if (moment.forcedStatus === 'SUCCESS') return apply(state, transaction, moment);
  if (moment.forcedStatus !== undefined) return { status: moment.forcedStatus };
  if (isDuplicate) return { status: 'DUPLICATE_TRANSACTION' };
  if (moment.consensusNanos > endNanos) return { status: 'TRANSACTION_EXPIRED' };
  const payer = state.accounts.get(transaction.payer);
  if (payer === undefined) return { status: 'PAYER_ACCOUNT_NOT_FOUND' };
  if (payer.balanceTinybars < fee) return { status: 'INSUFFICIENT_PAYER_BALANCE' };
  return apply(state, transaction, moment);
}

function charge(state: LedgerState, payerId: string, fee: bigint): bigint {
  const payer = state.accounts.get(payerId);
  const collector = state.accounts.get(FEE_COLLECTOR);
  if (payer === undefined || collector === undefined) return 0n;
  const charged = payer.balanceTinybars < fee ? payer.balanceTinybars : fee;
  payer.balanceTinybars -= charged;
  collector.balanceTinybars += charged;
  return charged;
}

function apply(state: LedgerState, transaction: DecodedTransaction, moment: ConsensusMoment): Outcome {
  const { body } = transaction;
  const isSigned = (key: proto.IKey): boolean => isSatisfied(key, transaction.pairs, transaction.bodyBytes);
  if (body.consensusSubmitMessage)
    return submitMessage(state, transaction, body.consensusSubmitMessage, moment, isSigned);
  if (body.consensusCreateTopic) return createTopic(state, body.consensusCreateTopic, moment, isSigned);
  if (body.consensusUpdateTopic) return updateTopic(state, body.consensusUpdateTopic, isSigned);
  if (body.consensusDeleteTopic) return deleteTopic(state, topicText(body.consensusDeleteTopic.topicID), isSigned);
  if (body.cryptoCreateAccount) return createAccount(state, transaction.payer, body.cryptoCreateAccount);
  if (body.cryptoUpdateAccount) return updateAccount(state, body.cryptoUpdateAccount, isSigned);
  if (body.cryptoTransfer) return transfer(state, body.cryptoTransfer, isSigned);
  return { status: 'NOT_SUPPORTED' };
}

type IsSigned = (key: proto.IKey) => boolean;

function submitMessage(
  state: LedgerState,
  transaction: DecodedTransaction,
  submit: proto.IConsensusSubmitMessageTransactionBody,
  moment: ConsensusMoment,
  isSigned: IsSigned,
): Outcome {
  const topic = state.topics.get(topicText(submit.topicID));
  const message = submit.message ?? new Uint8Array();
  if (topic === undefined || topic.isDeleted) return { status: 'INVALID_TOPIC_ID' };
  if (message.length > MAX_MESSAGE_BYTES) return { status: 'MESSAGE_SIZE_TOO_LARGE' };
  if (topic.submitKey !== undefined && !isSigned(topic.submitKey)) return { status: 'INVALID_SIGNATURE' };
  const chunk = submit.chunkInfo;
  const initialId = chunk?.initialTransactionID ? transactionIdText(chunk.initialTransactionID) : transaction.id;
  const [number, total] = [chunk?.number ?? 1, chunk?.total ?? 1];
  if (number < 1 || number > total) return { status: 'INVALID_CHUNK_NUMBER' };
  if (number === 1 && initialId !== transaction.id) return { status: 'INVALID_CHUNK_TRANSACTION_ID' };
  return {
    status: 'SUCCESS',
    entity: topic.id,
    message: appendMessage(topic, transaction.payer, message, { id: initialId, number, total }, moment),
  };
}

function appendMessage(
  topic: Topic,
  payer: string,
  message: Uint8Array,
  initialTransaction: TopicMessage['initialTransaction'],
  moment: ConsensusMoment,
): TopicMessage {
  const sequenceNumber = BigInt(topic.messages.length + 1);
  const payerId = parseEntityId(payer);
  const topicId = parseEntityId(topic.id);
  if (payerId === undefined || topicId === undefined) throw new Error(`not entity ids: ${payer}, ${topic.id}`);
  topic.runningHash = runningHashV3({
    prevRunningHash: topic.runningHash,
    payer: payerId,
    topicId,
    consensusTimestamp: {
      seconds: moment.consensusNanos / SECOND_NANOS,
      nanos: Number(moment.consensusNanos % SECOND_NANOS),
    },
    sequenceNumber,
    message,
  });
  const row: TopicMessage = {
    topic: topic.id,
    sequenceNumber,
    consensusNanos: moment.consensusNanos,
    payer,
    message,
    runningHash: topic.runningHash,
    initialTransaction,
    handledAtMs: moment.handledAtMs,
  };
  topic.messages.push(row);
  return row;
}

function createTopic(
  state: LedgerState,
  create: proto.IConsensusCreateTopicTransactionBody,
  moment: ConsensusMoment,
  isSigned: IsSigned,
): Outcome {
  const { adminKey, submitKey, autoRenewAccount } = create;
  if (adminKey && !isWellFormedKey(adminKey)) return { status: 'BAD_ENCODING' };
  if (submitKey && !isWellFormedKey(submitKey)) return { status: 'BAD_ENCODING' };
  if (adminKey && !isSigned(adminKey)) return { status: 'INVALID_SIGNATURE' };
  if (autoRenewAccount) {
    const account = state.accounts.get(accountText(autoRenewAccount));
    if (account === undefined) return { status: 'INVALID_AUTORENEW_ACCOUNT' };
    if (!isSigned(account.key)) return { status: 'INVALID_SIGNATURE' };
  }
  const id = `0.0.${state.nextEntityNum++}`;
  state.topics.set(id, {
    id,
    createdNanos: moment.consensusNanos,
    createdAtMs: moment.handledAtMs,
    memo: create.memo ?? '',
    adminKey: adminKey ?? undefined,
    submitKey: submitKey ?? undefined,
    isDeleted: false,
    runningHash: FIRST_PREV_RUNNING_HASH,
    messages: [],
  });
  return { status: 'SUCCESS', entity: id };
}

function updateTopic(
  state: LedgerState,
  update: proto.IConsensusUpdateTopicTransactionBody,
  isSigned: IsSigned,
): Outcome {
  const topic = state.topics.get(topicText(update.topicID));
  if (topic === undefined || topic.isDeleted) return { status: 'INVALID_TOPIC_ID' };
  if (topic.adminKey === undefined) return { status: 'UNAUTHORIZED' };
  if (!isSigned(topic.adminKey)) return { status: 'INVALID_SIGNATURE' };
  const { adminKey, submitKey, memo } = update;
  if (adminKey && !isRemoval(adminKey) && !isSigned(adminKey)) return { status: 'INVALID_SIGNATURE' };
  if (adminKey) topic.adminKey = isRemoval(adminKey) ? undefined : adminKey;
  if (submitKey) topic.submitKey = isRemoval(submitKey) ? undefined : submitKey;
  if (memo) topic.memo = memo.value ?? '';
  return { status: 'SUCCESS', entity: topic.id };
}

function deleteTopic(state: LedgerState, id: string, isSigned: IsSigned): Outcome {
  const topic = state.topics.get(id);
  if (topic === undefined || topic.isDeleted) return { status: 'INVALID_TOPIC_ID' };
  if (topic.adminKey === undefined) return { status: 'UNAUTHORIZED' };
  if (!isSigned(topic.adminKey)) return { status: 'INVALID_SIGNATURE' };
  topic.isDeleted = true;
  return { status: 'SUCCESS', entity: id };
}

function createAccount(state: LedgerState, payerId: string, create: proto.ICryptoCreateTransactionBody): Outcome {
  const { key } = create;
  if (!key || !isWellFormedKey(key)) return { status: 'KEY_REQUIRED' };
  const balanceTinybars = toBig(create.initialBalance);
  const payer = state.accounts.get(payerId);
  if (payer === undefined || payer.balanceTinybars < balanceTinybars) return { status: 'INSUFFICIENT_PAYER_BALANCE' };
  payer.balanceTinybars -= balanceTinybars;
  const id = `0.0.${state.nextEntityNum++}`;
  state.accounts.set(id, { id, key, balanceTinybars });
  return { status: 'SUCCESS', entity: id };
}

function updateAccount(state: LedgerState, update: proto.ICryptoUpdateTransactionBody, isSigned: IsSigned): Outcome {
  const account = state.accounts.get(accountText(update.accountIDToUpdate));
  if (account === undefined) return { status: 'INVALID_ACCOUNT_ID' };
  if (!isSigned(account.key)) return { status: 'INVALID_SIGNATURE' };
  if (update.key) {
    if (!isWellFormedKey(update.key)) return { status: 'BAD_ENCODING' };
    if (!isSigned(update.key)) return { status: 'INVALID_SIGNATURE' };
    account.key = update.key;
  }
  return { status: 'SUCCESS', entity: account.id };
}

function transfer(
  state: LedgerState,
  { transfers }: proto.ICryptoTransferTransactionBody,
  isSigned: IsSigned,
): Outcome {
  const parts = (transfers?.accountAmounts ?? []).map((part) => ({
    account: state.accounts.get(accountText(part.accountID)),
    amount: toBig(part.amount),
  }));
  if (parts.reduce((sum, part) => sum + part.amount, 0n) !== 0n) return { status: 'INVALID_ACCOUNT_AMOUNTS' };
  for (const { account, amount } of parts) {
    if (account === undefined) return { status: 'INVALID_ACCOUNT_ID' };
    if (amount >= 0n) continue;
    if (!isSigned(account.key)) return { status: 'INVALID_SIGNATURE' };
    if (account.balanceTinybars + amount < 0n) return { status: 'INSUFFICIENT_ACCOUNT_BALANCE' };
  }
  for (const { account, amount } of parts) if (account !== undefined) account.balanceTinybars += amount;
  return { status: 'SUCCESS' };
}
