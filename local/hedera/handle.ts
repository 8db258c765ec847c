/**
 * What consensus does with a transaction: checks again, charges, hands it to the handler of its kind, and appends it to
 * the ledger's history. A new kind of transaction is one line in `HANDLERS` (and one in the fee schedule).
 */
import type { proto } from '@hiero-ledger/proto';
import { callContract, createContract, isEvmStatus } from './evm-contracts.ts';
import type { ConsensusMoment, Handler, Outcome } from './execution.ts';
import { type Fee, nodeAndNetworkFee, type TransactionKind } from './fees.ts';
import { createAccount, transfer, updateAccount } from './handle-accounts.ts';
import { createTopic, deleteTopic, submitMessage, updateTopic } from './handle-topics.ts';
import { feeOf } from './ingest.ts';
import { isSatisfied } from './keys.ts';
import { FEE_COLLECTOR, type HandledTransaction, type LedgerState } from './state.ts';
import { type DecodedTransaction, isHandled } from './transaction.ts';
import type { Status } from './wire.ts';

const SECOND_NANOS = 1_000_000_000n;
/** Refused before its payer was known to be good for it: nothing is charged. */
const UNCHARGED: readonly Status[] = ['TRANSACTION_EXPIRED', 'PAYER_ACCOUNT_NOT_FOUND'];

const HANDLERS: Readonly<Record<TransactionKind, Handler>> = {
  consensusSubmitMessage: submitMessage,
  consensusCreateTopic: createTopic,
  consensusUpdateTopic: updateTopic,
  consensusDeleteTopic: deleteTopic,
  cryptoCreateAccount: createAccount,
  cryptoUpdateAccount: updateAccount,
  cryptoTransfer: transfer,
  contractCreateInstance: createContract,
  contractCall: callContract,
};

/** Applies one transaction and appends it to the ledger's history, whatever came of it. A promise if its handler is one. */
export function handleTransaction(
  state: LedgerState,
  transaction: DecodedTransaction,
  moment: ConsensusMoment,
): HandledTransaction | Promise<HandledTransaction> {
  const isDuplicate = (state.byId.get(transaction.id) ?? []).some(
    (earlier) => earlier.status !== 'INVALID_NODE_ACCOUNT',
  );
  const fee = isDuplicate ? nodeAndNetworkFee() : feeOf(transaction);
  const refused = refusalOf(state, transaction, moment, isDuplicate, fee);
  const moved = new Map<string, bigint>();
  const credit = (account: string, tinybars: bigint): boolean => {
    const found = state.accounts.get(account);
    if (found === undefined) return false;
    found.balanceTinybars += tinybars;
    moved.set(account, (moved.get(account) ?? 0n) + tinybars);
    return true;
  };
  const chargedFee =
    refused !== undefined && UNCHARGED.includes(refused) ? 0n : charge(state, transaction, fee, credit);
  const finish = (outcome: Outcome): HandledTransaction => {
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
      chargedFee: chargedFee - (outcome.unusedTinybars ?? 0n),
      transfers: [...moved].filter(([, amount]) => amount !== 0n).map(([account, amount]) => ({ account, amount })),
      entity: outcome.entity,
      message: outcome.message,
      contract: outcome.contract,
    };
    state.lastConsensusNanos = moment.consensusNanos;
    state.transactions.push(handled);
    state.byId.set(transaction.id, [...(state.byId.get(transaction.id) ?? []), handled]);
    return handled;
  };
  if (refused !== undefined) return finish({ status: refused });
  if (!isHandled(transaction.kind)) return finish({ status: 'NOT_SUPPORTED' });
  const isSigned = (key: proto.IKey): boolean => isSatisfied(key, transaction.pairs, transaction.bodyBytes);
  const outcome = HANDLERS[transaction.kind]({ state, transaction, moment, isSigned, credit });
  return outcome instanceof Promise ? outcome.then(finish) : finish(outcome);
}

function refusalOf(
  state: LedgerState,
  transaction: DecodedTransaction,
  moment: ConsensusMoment,
  isDuplicate: boolean,
  fee: Fee,
): Exclude<Status, 'SUCCESS'> | undefined {
  // What a journal says succeeded succeeds again, whatever fees and limits are now.
  if (moment.forcedStatus === 'SUCCESS') return undefined;
  if (moment.isRepeated && moment.forcedStatus !== undefined && isContractCall(transaction, moment.forcedStatus))
    return undefined;
  if (moment.forcedStatus !== undefined) return moment.forcedStatus;
  if (isDuplicate) return 'DUPLICATE_TRANSACTION';
  const endNanos = transaction.validStartNanos + BigInt(transaction.validSeconds) * SECOND_NANOS;
  if (moment.consensusNanos > endNanos) return 'TRANSACTION_EXPIRED';
  const payer = state.accounts.get(transaction.payer);
  if (payer === undefined) return 'PAYER_ACCOUNT_NOT_FOUND';
  return payer.balanceTinybars < fee.total ? 'INSUFFICIENT_PAYER_BALANCE' : undefined;
}

/** As far as the payer's balance goes. */
function charge(
  state: LedgerState,
  transaction: DecodedTransaction,
  fee: Fee,
  credit: (account: string, tinybars: bigint) => boolean,
): bigint {
  const payer = state.accounts.get(transaction.payer);
  if (payer === undefined) return 0n;
  let charged = fee.total;
  if (payer.balanceTinybars < charged) charged = payer.balanceTinybars;
  credit(transaction.payer, -charged);
  credit(FEE_COLLECTOR, charged);
  return charged;
}

/** The virtual machine ends it the same way again. */
function isContractCall({ kind }: DecodedTransaction, status: Status): boolean {
  return (kind === 'contractCall' || kind === 'contractCreateInstance') && isEvmStatus(status);
}
