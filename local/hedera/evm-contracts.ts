/**
 * What consensus does with contract transactions: a contract stands at the long-zero address of its entity number, a
 * caller at its alias or at the long-zero address of its account, `block.timestamp` is the second of consensus, and of
 * the gas that was reserved only what was used is paid.
 */
import type { proto } from '@hiero-ledger/proto';
import { formatEntityId, parseEntityId } from '../../domain/ledger/entity-id.ts';
import { type EvmCall, type EvmResult, intrinsicGas, MAX_GAS } from './evm.ts';
import { type Contract, type Contracts, errorMessageOf } from './evm-state.ts';
import type { Execution, Outcome } from './execution.ts';
import { gasFee } from './fees.ts';
import { evmAddressOfAccount, FEE_COLLECTOR, type LedgerState } from './state.ts';
import { type Status, toBig, toLong } from './wire.ts';

const STATUS = {
  success: 'SUCCESS',
  reverted: 'CONTRACT_REVERT_EXECUTED',
  'out-of-gas': 'INSUFFICIENT_GAS',
  halted: 'CONTRACT_EXECUTION_EXCEPTION',
} as const satisfies Record<EvmResult['outcome'], Status>;

/** Statuses that the virtual machine brings: reading a journal runs the call again instead of believing them. */
export const isEvmStatus = (status: Status): boolean => (Object.values(STATUS) as readonly Status[]).includes(status);

/** Why a node refuses a contract transaction before consensus. */
export function checkContractBody(body: proto.TransactionBody): Exclude<Status, 'OK'> | undefined {
  if (!body.contractCreateInstance && !body.contractCall) return undefined;
  const gas = gasOf(body);
  if (gas > MAX_GAS) return 'MAX_GAS_LIMIT_EXCEEDED';
  return gas < intrinsicGas(inputOf(body)) ? 'INSUFFICIENT_GAS' : undefined;
}

/** Gas that the transaction reserves; 0 for other bodies. */
export function gasOf(body: proto.TransactionBody): bigint {
  return toBig(body.contractCreateInstance?.gas ?? body.contractCall?.gas);
}

export async function createContract(execution: Execution): Promise<Outcome> {
  const { state, transaction, moment, credit } = execution;
  const creation = transaction.body.contractCreateInstance ?? {};
  const payer = state.accounts.get(transaction.payer);
  if (payer === undefined) return { status: 'PAYER_ACCOUNT_NOT_FOUND' };
  if ((creation.initcode ?? EMPTY).length === 0)
    return { status: creation.fileID ? 'NOT_SUPPORTED' : 'CONTRACT_BYTECODE_EMPTY' };
  const num = state.nextEntityNum;
  const id = `0.0.${num}`;
  const call = callOf(execution, longZero(num), toBig(creation.initialBalance));
  if (payer.balanceTinybars < call.value) return { status: 'INSUFFICIENT_PAYER_BALANCE' };
  const machine = await state.contracts.machine();
  const result = await machine.create(call);
  const outcome = settle(execution, id, call, result, true);
  if (result.outcome !== 'success') return outcome;
  state.nextEntityNum += 1n;
  const { createdNanos, createdAtMs } = { createdNanos: moment.consensusNanos, createdAtMs: moment.handledAtMs };
  const memo = creation.memo ?? '';
  // A contract is an account too; nobody signs for it.
  const key = { contractID: contractId(id) };
  state.accounts.set(id, { id, createdNanos, createdAtMs, key, memo, evmAddress: undefined, balanceTinybars: 0n });
  credit(transaction.payer, -call.value);
  credit(id, call.value);
  state.contracts.byId.set(id, {
    id,
    address: call.to,
    createdNanos,
    createdAtMs,
    memo,
    adminKey: creation.adminKey ?? undefined,
    initcode: call.input,
    code: result.output,
  });
  return outcome;
}

export async function callContract(execution: Execution): Promise<Outcome> {
  const { state, transaction, credit } = execution;
  const content = transaction.body.contractCall ?? {};
  const payer = state.accounts.get(transaction.payer);
  const contract = findContract(state.contracts, content.contractID);
  if (payer === undefined) return { status: 'PAYER_ACCOUNT_NOT_FOUND' };
  if (contract === undefined) return { status: 'INVALID_CONTRACT_ID' };
  const call = callOf(execution, contract.address, toBig(content.amount));
  if (payer.balanceTinybars < call.value) return { status: 'INSUFFICIENT_PAYER_BALANCE' };
  const machine = await state.contracts.machine();
  const result = await machine.call(call);
  if (result.outcome === 'success') {
    credit(transaction.payer, -call.value);
    credit(contract.id, call.value);
  }
  return settle(execution, contract.id, call, result, false);
}

/** A static call, as a query asks for it. */
export async function answerContractCall(
  state: LedgerState,
  query: proto.IContractCallLocalQuery,
  nowNanos: bigint,
): Promise<{ readonly status: Status; readonly functionResult?: proto.IContractFunctionResult }> {
  const contract = findContract(state.contracts, query.contractID);
  if (contract === undefined) return { status: 'INVALID_CONTRACT_ID' };
  const sender = query.senderId?.accountNum == null ? 0n : toBig(query.senderId.accountNum);
  const machine = await state.contracts.machine();
  const result = await machine.view({
    from: longZero(sender),
    to: contract.address,
    input: query.functionParameters ?? EMPTY,
    gasLimit: toBig(query.gas),
    value: 0n,
    ...blockAt(nowNanos),
  });
  const status = STATUS[result.outcome];
  return { status: status === 'SUCCESS' ? 'OK' : status, functionResult: functionResult(contract.id, result) };
}

/** What a contract call came to, as records and queries show it. */
export function functionResult(contract: string, result: EvmResult): proto.IContractFunctionResult {
  const error = errorMessageOf(result);
  return {
    contractID: contractId(contract),
    contractCallResult: result.output,
    ...(error === undefined ? {} : { errorMessage: error }),
    gasUsed: toLong(result.gasUsed),
    logInfo: result.logs.map((log) => ({
      contractID: contractId(contract),
      bloom: new Uint8Array(256),
      topic: [...log.topics],
      data: log.data,
    })),
  };
}

/** The contract that a transaction or query names, by its number or its address. */
export function findContract(contracts: Contracts, id: proto.IContractID | null | undefined): Contract | undefined {
  const address = id?.evmAddress;
  if (address != null && address.length === 20)
    return [...contracts.byId.values()].find((one) => Buffer.from(one.address).equals(address));
  const [shard, realm, num] = [toBig(id?.shardNum), toBig(id?.realmNum), toBig(id?.contractNum)];
  return contracts.byId.get(formatEntityId({ shard, realm, num }));
}

export function contractId(text: string): proto.IContractID {
  const { shard = 0n, realm = 0n, num = 0n } = parseEntityId(text) ?? {};
  return { shardNum: toLong(shard), realmNum: toLong(realm), contractNum: toLong(num) };
}

const EMPTY = new Uint8Array();

function longZero(num: bigint): Uint8Array {
  return Buffer.from(num.toString(16).padStart(40, '0'), 'hex');
}

function callOf({ state, transaction, moment }: Execution, to: Uint8Array, value: bigint): EvmCall {
  const payer = state.accounts.get(transaction.payer);
  return {
    from: payer === undefined ? longZero(0n) : evmAddressOfAccount(payer),
    to,
    input: inputOf(transaction.body),
    gasLimit: gasOf(transaction.body),
    value,
    ...blockAt(moment.consensusNanos),
  };
}

/** Gives the payer back what was reserved and not used. */
function settle(
  { transaction, credit }: Execution,
  contract: string,
  call: EvmCall,
  result: EvmResult,
  isCreation: boolean,
): Outcome {
  const { from, to, input, gasLimit, value } = call;
  const unusedTinybars = gasFee(gasLimit) - gasFee(result.gasUsed);
  credit(transaction.payer, unusedTinybars);
  credit(FEE_COLLECTOR, -unusedTinybars);
  return {
    status: STATUS[result.outcome],
    ...(isCreation && result.outcome !== 'success' ? {} : { entity: contract }),
    contract: { contractId: contract, isCreation, from, to, input, gasLimit, amount: value, result },
    unusedTinybars,
  };
}

function inputOf({ contractCreateInstance: creation, contractCall }: proto.TransactionBody): Uint8Array {
  return creation
    ? Buffer.concat([creation.initcode ?? EMPTY, creation.constructorParameters ?? EMPTY])
    : (contractCall?.functionParameters ?? EMPTY);
}

const blockAt = (nanos: bigint) => ({ timestamp: nanos / 1_000_000_000n, blockNumber: nanos / 2_000_000_000n });
