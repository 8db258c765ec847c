/** A consensus node's answers to queries: receipts and records (free), topic, account and version (any payment goes). */
import { proto } from '@hiero-ledger/proto';
import { FEE_SCHEDULE } from './fees.ts';
import type { Ledger, ReceiptAnswer } from './ledger.ts';
import type { HandledTransaction } from './state.ts';
import {
  accountId,
  accountText,
  codeOf,
  nanosToTime,
  type Status,
  toLong,
  topicId,
  topicText,
  transactionIdText,
} from './wire.ts';

const QUERY_COST_TINYBARS = 83_333n;
const YEAR_NANOS = 31_536_000_000_000_000n;

/** Answers one query as `node` would; `failWith` answers its header with that status instead. */
export function answerQuery(ledger: Ledger, node: string, query: proto.Query, failWith?: Status): proto.IResponse {
  if (query.transactionGetReceipt)
    return { transactionGetReceipt: answerReceipt(ledger, node, query.transactionGetReceipt, failWith) };
  if (query.transactionGetRecord)
    return { transactionGetRecord: answerRecord(ledger, node, query.transactionGetRecord, failWith) };
  if (query.consensusGetTopicInfo)
    return { consensusGetTopicInfo: answerTopic(ledger, query.consensusGetTopicInfo, failWith) };
  if (query.cryptogetAccountBalance) {
    const id = accountText(query.cryptogetAccountBalance.accountID);
    const account = ledger.state.accounts.get(id);
    const status = failWith ?? (account === undefined ? 'INVALID_ACCOUNT_ID' : 'OK');
    return {
      cryptogetAccountBalance: {
        header: header(query.cryptogetAccountBalance.header, status, false),
        accountID: accountId(id),
        balance: toLong(account?.balanceTinybars ?? 0n),
      },
    };
  }
  if (query.cryptoGetInfo) return { cryptoGetInfo: answerAccount(ledger, query.cryptoGetInfo, failWith) };
  if (query.networkGetVersionInfo) {
    const version = { major: 0, minor: 75, patch: 0 };
    const head = header(query.networkGetVersionInfo.header, failWith ?? 'OK', true);
    return { networkGetVersionInfo: { header: head, hapiProtoVersion: version, hederaServicesVersion: version } };
  }
  return { transactionGetReceipt: { header: header(undefined, 'NOT_SUPPORTED', false) } };
}

/** Asked for its cost, a paid query answers with that alone. */
function header(asked: proto.IQueryHeader | null | undefined, status: Status, isPaid: boolean): proto.IResponseHeader {
  return {
    nodeTransactionPrecheckCode: codeOf(status),
    responseType: asked?.responseType ?? proto.ResponseType.ANSWER_ONLY,
    cost: toLong(isPaid ? QUERY_COST_TINYBARS : 0n),
  };
}

const isCostAsked = (asked: proto.IQueryHeader | null | undefined): boolean =>
  asked?.responseType === proto.ResponseType.COST_ANSWER;

function answerReceipt(
  ledger: Ledger,
  node: string,
  query: proto.ITransactionGetReceiptQuery,
  failWith?: Status,
): proto.ITransactionGetReceiptResponse {
  const answer = ledger.receipt(node, transactionIdText(query.transactionID ?? {}));
  if (failWith !== undefined) return { header: header(query.header, failWith, false) };
  if (answer.kind === 'unheard') return { header: header(query.header, 'RECEIPT_NOT_FOUND', false) };
  const ok = header(query.header, 'OK', false);
  if (answer.kind === 'pending') return { header: ok, receipt: { status: codeOf('UNKNOWN') } };
  const [first, ...others] = prioritise(answer);
  return {
    header: ok,
    receipt: first === undefined ? { status: codeOf('UNKNOWN') } : receiptOf(first),
    ...(query.includeDuplicates ? { duplicateTransactionReceipts: others.map(receiptOf) } : {}),
  };
}

/** The receipt that counts first: one that the submitting node did not cause by its own fault. */
function prioritise({ transactions }: Extract<ReceiptAnswer, { kind: 'handled' }>): readonly HandledTransaction[] {
  const isNodeFault = (handled: HandledTransaction): boolean =>
    handled.status === 'INVALID_NODE_ACCOUNT' || handled.status === 'INVALID_PAYER_SIGNATURE';
  return [...transactions.filter((handled) => !isNodeFault(handled)), ...transactions.filter(isNodeFault)];
}

function receiptOf(handled: HandledTransaction): proto.ITransactionReceipt {
  const rate = {
    hbarEquiv: 1,
    centEquiv: FEE_SCHEDULE.centsPerHbar,
    expirationTime: { seconds: toLong(4_102_444_800n) },
  };
  const isSuccess = handled.status === 'SUCCESS';
  return {
    status: codeOf(handled.status),
    exchangeRate: { currentRate: rate, nextRate: rate },
    ...(isSuccess && handled.entity !== undefined && handled.kind === 'consensusCreateTopic'
      ? { topicID: topicId(handled.entity) }
      : {}),
    ...(isSuccess && handled.entity !== undefined && handled.kind === 'cryptoCreateAccount'
      ? { accountID: accountId(handled.entity) }
      : {}),
    ...(handled.message === undefined
      ? {}
      : {
          topicSequenceNumber: toLong(handled.message.sequenceNumber),
          topicRunningHash: handled.message.runningHash,
          topicRunningHashVersion: toLong(3n),
        }),
  };
}

function answerRecord(
  ledger: Ledger,
  node: string,
  query: proto.ITransactionGetRecordQuery,
  failWith?: Status,
): proto.ITransactionGetRecordResponse {
  const answer = ledger.receipt(node, transactionIdText(query.transactionID ?? {}));
  if (failWith !== undefined) return { header: header(query.header, failWith, true) };
  if (answer.kind !== 'handled') return { header: header(query.header, 'RECORD_NOT_FOUND', true) };
  const ok = header(query.header, 'OK', true);
  const [first] = prioritise(answer);
  if (isCostAsked(query.header) || first === undefined) return { header: ok };
  return {
    header: ok,
    transactionRecord: {
      receipt: receiptOf(first),
      transactionHash: first.hash,
      consensusTimestamp: nanosToTime(first.consensusNanos),
      transactionID: { accountID: accountId(first.payer), transactionValidStart: nanosToTime(first.validStartNanos) },
      memo: first.memo,
      transactionFee: toLong(first.chargedFee),
      transferList: { accountAmounts: [] },
    },
  };
}

function answerTopic(
  ledger: Ledger,
  query: proto.IConsensusGetTopicInfoQuery,
  failWith?: Status,
): proto.IConsensusGetTopicInfoResponse {
  const id = topicText(query.topicID);
  const topic = ledger.state.topics.get(id);
  const status = failWith ?? (topic === undefined || topic.isDeleted ? 'INVALID_TOPIC_ID' : 'OK');
  const head = header(query.header, status, true);
  if (status !== 'OK' || topic === undefined || isCostAsked(query.header)) return { header: head };
  return {
    header: head,
    topicID: topicId(id),
    topicInfo: {
      memo: topic.memo,
      runningHash: topic.runningHash,
      sequenceNumber: toLong(BigInt(topic.messages.length)),
      expirationTime: nanosToTime(topic.createdNanos + YEAR_NANOS),
      ...(topic.adminKey === undefined ? {} : { adminKey: topic.adminKey }),
      ...(topic.submitKey === undefined ? {} : { submitKey: topic.submitKey }),
      autoRenewPeriod: { seconds: toLong(7_776_000n) },
    },
  };
}

function answerAccount(
  ledger: Ledger,
  query: proto.ICryptoGetInfoQuery,
  failWith?: Status,
): proto.ICryptoGetInfoResponse {
  const id = accountText(query.accountID);
  const account = ledger.state.accounts.get(id);
  const status = failWith ?? (account === undefined ? 'INVALID_ACCOUNT_ID' : 'OK');
  const head = header(query.header, status, true);
  if (status !== 'OK' || account === undefined || isCostAsked(query.header)) return { header: head };
  return {
    header: head,
    accountInfo: {
      accountID: accountId(id),
      key: account.key,
      balance: toLong(account.balanceTinybars),
      autoRenewPeriod: { seconds: toLong(7_776_000n) },
      expirationTime: { seconds: toLong(4_102_444_800n) },
    },
  };
}
