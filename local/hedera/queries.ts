/**
 * A consensus node's answers to queries: receipts and balances (free), records, topics, accounts and versions (paid, any
 * well-formed payment goes). A new query is one line in `ANSWERS`; the others answer NOT_SUPPORTED.
 */
import { proto } from '@hiero-ledger/proto';
import { answerContractCall, contractId, functionResult } from './evm-contracts.ts';
import { FEE_SCHEDULE, queryFee } from './fees.ts';
import type { Ledger, ReceiptAnswer } from './ledger.ts';
import { evmAddressOfAccount, type HandledTransaction } from './state.ts';
import { decodeTransaction } from './transaction.ts';
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

const YEAR_NANOS = 31_536_000_000_000_000n;

export interface QueryContext {
  readonly ledger: Ledger;
  /** The account of the node that is asked. */
  readonly node: string;
  /** Answers the header with this status instead. */
  readonly failWith?: Status | undefined;
  /** Balance queries are throttled to nothing, as the network has announced: they answer BUSY. */
  readonly areBalancesBusy: boolean;
}

type Answered = proto.IResponse | Promise<proto.IResponse>;

/** By the member of `Query` that is set; the answer is in the member of `Response` with the same name. */
const ANSWERS: Readonly<Record<string, (context: QueryContext, query: proto.Query) => Answered>> = {
  transactionGetReceipt: (context, { transactionGetReceipt }) => ({
    transactionGetReceipt: answerReceipt(context, transactionGetReceipt ?? {}),
  }),
  transactionGetRecord: (context, { transactionGetRecord }) => ({
    transactionGetRecord: answerRecord(context, transactionGetRecord ?? {}),
  }),
  consensusGetTopicInfo: (context, { consensusGetTopicInfo }) => ({
    consensusGetTopicInfo: answerTopic(context, consensusGetTopicInfo ?? {}),
  }),
  cryptogetAccountBalance: (context, { cryptogetAccountBalance }) => ({
    cryptogetAccountBalance: answerBalance(context, cryptogetAccountBalance ?? {}),
  }),
  cryptoGetInfo: (context, { cryptoGetInfo }) => ({ cryptoGetInfo: answerAccount(context, cryptoGetInfo ?? {}) }),
  contractCallLocal: async (context, { contractCallLocal }) => ({
    contractCallLocal: await answerView(context, contractCallLocal ?? {}),
  }),
  networkGetVersionInfo: (context, { networkGetVersionInfo }) => ({
    networkGetVersionInfo: answerVersion(context, networkGetVersionInfo ?? {}),
  }),
};

/** Answers one query as a node would. */
export function answerQuery(context: QueryContext, query: proto.Query): Answered {
  const member = query.query;
  const answer = member !== undefined && Object.hasOwn(ANSWERS, member) ? ANSWERS[member] : undefined;
  if (answer !== undefined) return answer(context, query);
  return { [member ?? 'transactionGetReceipt']: { header: header(undefined, 'NOT_SUPPORTED', 'free') } };
}

/** Asked for its cost, a paid query answers with that alone; asked for its answer, it wants a payment. */
export function header(
  asked: proto.IQueryHeader | null | undefined,
  status: Status,
  price: 'free' | 'paid',
): proto.IResponseHeader {
  const isUnpaid = status === 'OK' && price === 'paid' && !isCostAsked(asked) && !hasPayment(asked);
  return {
    nodeTransactionPrecheckCode: codeOf(isUnpaid ? 'INSUFFICIENT_TX_FEE' : status),
    responseType: asked?.responseType ?? proto.ResponseType.ANSWER_ONLY,
    cost: toLong(price === 'paid' ? queryFee() : 0n),
  };
}

/** Any transfer of hbar that decodes and bears a signature; it is not carried out. */
function hasPayment(asked: proto.IQueryHeader | null | undefined): boolean {
  const signed = asked?.payment?.signedTransactionBytes;
  if (!asked?.payment || !signed || signed.length === 0) return false;
  const payment = decodeTransaction(proto.Transaction.encode(asked.payment).finish());
  return payment?.kind === 'cryptoTransfer' && payment.pairs.length > 0;
}

export const isCostAsked = (asked: proto.IQueryHeader | null | undefined): boolean =>
  asked?.responseType === proto.ResponseType.COST_ANSWER;

function answerReceipt(
  { ledger, node, failWith }: QueryContext,
  query: proto.ITransactionGetReceiptQuery,
): proto.ITransactionGetReceiptResponse {
  const answer = ledger.receipt(node, transactionIdText(query.transactionID ?? {}));
  if (failWith !== undefined) return { header: header(query.header, failWith, 'free') };
  if (answer.kind === 'unheard') return { header: header(query.header, 'RECEIPT_NOT_FOUND', 'free') };
  const ok = header(query.header, 'OK', 'free');
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
    ...(handled.contract === undefined || handled.entity === undefined
      ? {}
      : { contractID: contractId(handled.entity) }),
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
  { ledger, node, failWith }: QueryContext,
  query: proto.ITransactionGetRecordQuery,
): proto.ITransactionGetRecordResponse {
  const answer = ledger.receipt(node, transactionIdText(query.transactionID ?? {}));
  if (failWith !== undefined) return { header: header(query.header, failWith, 'paid') };
  if (answer.kind !== 'handled') return { header: header(query.header, 'RECORD_NOT_FOUND', 'paid') };
  const ok = header(query.header, 'OK', 'paid');
  const [first, ...others] = prioritise(answer);
  if (!isAnswered(query.header, ok) || first === undefined) return { header: ok };
  return {
    header: ok,
    transactionRecord: recordOf(first),
    ...(query.includeDuplicates ? { duplicateTransactionRecords: others.map(recordOf) } : {}),
  };
}

function recordOf(handled: HandledTransaction): proto.ITransactionRecord {
  return {
    receipt: receiptOf(handled),
    transactionHash: handled.hash,
    consensusTimestamp: nanosToTime(handled.consensusNanos),
    transactionID: { accountID: accountId(handled.payer), transactionValidStart: nanosToTime(handled.validStartNanos) },
    memo: handled.memo,
    transactionFee: toLong(handled.chargedFee),
    ...contractPartOf(handled),
    transferList: {
      accountAmounts: handled.transfers.map(({ account, amount }) => ({
        accountID: accountId(account),
        amount: toLong(amount),
      })),
    },
  };
}

function contractPartOf({ contract: run }: HandledTransaction): proto.ITransactionRecord {
  if (run === undefined) return {};
  const result = functionResult(run.contractId, run.result);
  return run.isCreation ? { contractCreateResult: result } : { contractCallResult: result };
}

async function answerView(
  { ledger, failWith }: QueryContext,
  query: proto.IContractCallLocalQuery,
): Promise<proto.IContractCallLocalResponse> {
  const asked = header(query.header, failWith ?? 'OK', 'paid');
  if (!isAnswered(query.header, asked)) return { header: asked };
  const { status, functionResult: result } = await answerContractCall(ledger.state, query, ledger.nowNanos());
  return { header: header(query.header, status, 'paid'), ...(result === undefined ? {} : { functionResult: result }) };
}

/** Whether the answer goes beyond its header: it was not only asked for its cost, and nothing refused it. */
const isAnswered = (asked: proto.IQueryHeader | null | undefined, head: proto.IResponseHeader): boolean =>
  !isCostAsked(asked) && head.nodeTransactionPrecheckCode === codeOf('OK');

function answerTopic(
  { ledger, failWith }: QueryContext,
  query: proto.IConsensusGetTopicInfoQuery,
): proto.IConsensusGetTopicInfoResponse {
  const id = topicText(query.topicID);
  const topic = ledger.state.topics.get(id);
  const status = failWith ?? (topic === undefined || topic.isDeleted ? 'INVALID_TOPIC_ID' : 'OK');
  const head = header(query.header, status, 'paid');
  if (topic === undefined || !isAnswered(query.header, head)) return { header: head };
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
      autoRenewPeriod: { seconds: toLong(BigInt(topic.autoRenewSeconds)) },
      ...(topic.autoRenewAccount === undefined ? {} : { autoRenewAccount: accountId(topic.autoRenewAccount) }),
    },
  };
}

function answerBalance(
  { ledger, failWith, areBalancesBusy }: QueryContext,
  query: proto.ICryptoGetAccountBalanceQuery,
): proto.ICryptoGetAccountBalanceResponse {
  const id = accountText(query.accountID);
  const account = ledger.state.accounts.get(id);
  const busy = areBalancesBusy ? 'BUSY' : undefined;
  const status = failWith ?? busy ?? (account === undefined ? 'INVALID_ACCOUNT_ID' : 'OK');
  return {
    header: header(query.header, status, 'free'),
    accountID: accountId(id),
    balance: toLong(status === 'OK' ? (account?.balanceTinybars ?? 0n) : 0n),
  };
}

function answerVersion(
  { failWith }: QueryContext,
  query: proto.INetworkGetVersionInfoQuery,
): proto.INetworkGetVersionInfoResponse {
  const head = header(query.header, failWith ?? 'OK', 'paid');
  const version = { major: 0, minor: 75, patch: 0 };
  return isAnswered(query.header, head)
    ? { header: head, hapiProtoVersion: version, hederaServicesVersion: version }
    : { header: head };
}

function answerAccount(
  { ledger, failWith }: QueryContext,
  query: proto.ICryptoGetInfoQuery,
): proto.ICryptoGetInfoResponse {
  const id = accountText(query.accountID);
  const account = ledger.state.accounts.get(id);
  const status = failWith ?? (account === undefined ? 'INVALID_ACCOUNT_ID' : 'OK');
  const head = header(query.header, status, 'paid');
  if (account === undefined || !isAnswered(query.header, head)) return { header: head };
  return {
    header: head,
    accountInfo: {
      accountID: accountId(id),
      key: account.key,
      balance: toLong(account.balanceTinybars),
      memo: account.memo,
      contractAccountID: Buffer.from(evmAddressOfAccount(account)).toString('hex'),
      autoRenewPeriod: { seconds: toLong(7_776_000n) },
      expirationTime: { seconds: toLong(4_102_444_800n) },
    },
  };
}
