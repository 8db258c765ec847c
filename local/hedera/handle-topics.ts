/** Topics: created, written to, changed and deleted. The submit key is judged here, at consensus, when the fee is spent. */
import type { proto } from '@hiero-ledger/proto';
import { parseEntityId } from '../../domain/ledger/entity-id.ts';
import { FIRST_PREV_RUNNING_HASH, runningHashV3 } from '../../domain/ledger/running-hash.ts';
import type { ConsensusMoment, Execution, Outcome } from './execution.ts';
import { isRemoval, isWellFormedKey } from './keys.ts';
import { DEFAULT_AUTO_RENEW_SECONDS, type Topic, type TopicMessage } from './state.ts';
import { accountText, toBig, topicText, transactionIdText } from './wire.ts';

const MAX_MESSAGE_BYTES = 1_024;
const SECOND_NANOS = 1_000_000_000n;
const MIN_AUTO_RENEW_SECONDS = 2_592_000;
const MAX_AUTO_RENEW_SECONDS = 8_000_001;

export function submitMessage({ state, transaction, moment, isSigned }: Execution): Outcome {
  const submit = transaction.body.consensusSubmitMessage ?? {};
  const topic = state.topics.get(topicText(submit.topicID));
  const message = submit.message ?? new Uint8Array();
  if (topic === undefined || topic.isDeleted) return { status: 'INVALID_TOPIC_ID' };
  if (message.length > MAX_MESSAGE_BYTES) return { status: 'MESSAGE_SIZE_TOO_LARGE' };
  if (topic.submitKey !== undefined && !isSigned(topic.submitKey)) return { status: 'INVALID_SIGNATURE' };
  const chunk = submit.chunkInfo;
  const initial = chunk?.initialTransactionID;
  const initialId = initial ? transactionIdText(initial) : transaction.id;
  const [number, total] = [chunk?.number ?? 1, chunk?.total ?? 1];
  if (number < 1 || number > total) return { status: 'INVALID_CHUNK_NUMBER' };
  // Every chunk belongs to one payer, and the first is the transaction that the others name.
  if (initial && accountText(initial.accountID) !== transaction.payer)
    return { status: 'INVALID_CHUNK_TRANSACTION_ID' };
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

export function createTopic({ state, transaction, moment, isSigned }: Execution): Outcome {
  const { adminKey, submitKey, autoRenewAccount, autoRenewPeriod, memo } = transaction.body.consensusCreateTopic ?? {};
  if ((adminKey && !isWellFormedKey(adminKey)) || (submitKey && !isWellFormedKey(submitKey)))
    return { status: 'BAD_ENCODING' };
  if (adminKey && !isSigned(adminKey)) return { status: 'INVALID_SIGNATURE' };
  const renewal = judgeRenewal({ state, isSigned }, autoRenewAccount, autoRenewPeriod);
  if (renewal !== undefined) return renewal;
  const id = `0.0.${state.nextEntityNum++}`;
  state.topics.set(id, {
    id,
    createdNanos: moment.consensusNanos,
    createdAtMs: moment.handledAtMs,
    changedNanos: moment.consensusNanos,
    memo: memo ?? '',
    adminKey: adminKey ?? undefined,
    submitKey: submitKey ?? undefined,
    autoRenewAccount: autoRenewAccount ? accountText(autoRenewAccount) : undefined,
    autoRenewSeconds: Number(toBig(autoRenewPeriod?.seconds ?? DEFAULT_AUTO_RENEW_SECONDS)),
    isDeleted: false,
    runningHash: FIRST_PREV_RUNNING_HASH,
    messages: [],
  });
  return { status: 'SUCCESS', entity: id };
}

export function updateTopic({ state, transaction, moment, isSigned }: Execution): Outcome {
  const update = transaction.body.consensusUpdateTopic ?? {};
  const topic = state.topics.get(topicText(update.topicID));
  if (topic === undefined || topic.isDeleted) return { status: 'INVALID_TOPIC_ID' };
  if (topic.adminKey === undefined) return { status: 'UNAUTHORIZED' };
  if (!isSigned(topic.adminKey)) return { status: 'INVALID_SIGNATURE' };
  const { adminKey, submitKey, memo, autoRenewAccount, autoRenewPeriod } = update;
  for (const key of [adminKey, submitKey])
    if (key && !isRemoval(key) && !isWellFormedKey(key)) return { status: 'BAD_ENCODING' };
  if (adminKey && !isRemoval(adminKey) && !isSigned(adminKey)) return { status: 'INVALID_SIGNATURE' };
  const renewal = judgeRenewal({ state, isSigned }, autoRenewAccount, autoRenewPeriod);
  if (renewal !== undefined) return renewal;
  if (adminKey) topic.adminKey = isRemoval(adminKey) ? undefined : adminKey;
  if (submitKey) topic.submitKey = isRemoval(submitKey) ? undefined : submitKey;
  if (memo) topic.memo = memo.value ?? '';
  if (autoRenewAccount) topic.autoRenewAccount = accountText(autoRenewAccount);
  if (autoRenewPeriod) topic.autoRenewSeconds = Number(toBig(autoRenewPeriod.seconds));
  topic.changedNanos = moment.consensusNanos;
  return { status: 'SUCCESS', entity: topic.id };
}

export function deleteTopic({ state, transaction, moment, isSigned }: Execution): Outcome {
  const topic = state.topics.get(topicText(transaction.body.consensusDeleteTopic?.topicID));
  if (topic === undefined || topic.isDeleted) return { status: 'INVALID_TOPIC_ID' };
  if (topic.adminKey === undefined) return { status: 'UNAUTHORIZED' };
  if (!isSigned(topic.adminKey)) return { status: 'INVALID_SIGNATURE' };
  topic.isDeleted = true;
  topic.changedNanos = moment.consensusNanos;
  return { status: 'SUCCESS', entity: topic.id };
}

/** Who pays for a topic's renewal has to agree, and its period has to be one that the network offers. */
function judgeRenewal(
  { state, isSigned }: Pick<Execution, 'state' | 'isSigned'>,
  account: proto.IAccountID | null | undefined,
  period: proto.IDuration | null | undefined,
): Outcome | undefined {
  if (period) {
    const seconds = Number(toBig(period.seconds));
    if (seconds < MIN_AUTO_RENEW_SECONDS || seconds > MAX_AUTO_RENEW_SECONDS)
      return { status: 'AUTORENEW_DURATION_NOT_IN_RANGE' };
  }
  if (!account) return undefined;
  const payer = state.accounts.get(accountText(account));
  if (payer === undefined) return { status: 'INVALID_AUTORENEW_ACCOUNT' };
  return isSigned(payer.key) ? undefined : { status: 'INVALID_SIGNATURE' };
}
