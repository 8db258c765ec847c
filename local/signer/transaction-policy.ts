/**
 * What the signer signs for a ledger. It decodes the transaction itself and refuses whatever it does not know:
 * a stolen client certificate can post anchors, not move money.
 */
import { readFile } from 'node:fs/promises';
import { proto } from '@hiero-ledger/proto';
import { writeDurably } from '../keys/write-durably.ts';
import { type AllowedCall, findCallRefusal, requireAllowedCall } from './contract-call.ts';
import { type EvmTransaction, readEvmTransaction } from './evm-transaction.ts';
import { SignerProblem } from './problem.ts';

/** The policy file, JSON. Without a file nothing is allowed. Ids are `shard.realm.num`. */
export interface TransactionPolicy {
  readonly hedera: {
    /** Topics that take anchor messages. */
    readonly topics: readonly string[];
    /** Accounts that may pay; absent means any. */
    readonly payers?: readonly string[];
    /** Upper bound of the fee a transaction may name, in tinybars, decimal. */
    readonly maxFeeTinybars: string;
    /** While true, a topic may be created too; for the first start alone. */
    readonly allowTopicCreation?: boolean;
    /** Contracts that may be called, each with its functions and the gas that a call may ask for. */
    readonly contracts?: readonly (AllowedCall & {
      /** `shard.realm.num`. */
      readonly id: string;
      /** 20 bytes in hex, where calls name the contract so. */
      readonly evmAddress?: string;
    })[];
    /** Nodes that a transaction may be for; absent means any. */
    readonly nodes?: readonly string[];
  };
  /** Ethereum transactions of type 2 (EIP-1559) alone; absent means none. */
  readonly evm?: {
    readonly contracts: readonly (AllowedCall & {
      readonly chainId: number;
      /** 20 bytes in hex with 0x. */
      readonly address: string;
      /** Upper bound of maxFeePerGas in wei, decimal. */
      readonly maxFeePerGas: string;
    })[];
  };
}

const MESSAGE_PREFIX = 'pl1|';
const MESSAGE_BYTES = 100;
/** Hedera takes 15 to 180 s; what starts long ago or far ahead was not made for now. */
const MIN_DURATION_S = 15;
const MAX_DURATION_S = 180;
const MAX_AGE_S = 600;
const MAX_AHEAD_S = 60;
const ENTITY = /^(?:0|[1-9][0-9]{0,18})\.(?:0|[1-9][0-9]{0,18})\.(?:0|[1-9][0-9]{0,18})$/;

/** Writes the policy; a running signer takes it from its next request on. */
export async function writeTransactionPolicy(file: string, policy: TransactionPolicy): Promise<void> {
  requirePolicy(policy);
  await writeDurably(file, `${JSON.stringify(policy, undefined, 2)}\n`);
}

/** The policy as it is now. Throws `policy_denied` when there is none or it does not parse: then nothing is signed. */
export async function readTransactionPolicy(file: string): Promise<TransactionPolicy> {
  try {
    const policy = JSON.parse(await readFile(file, 'utf8')) as TransactionPolicy;
    requirePolicy(policy);
    return policy;
  } catch (cause) {
    throw new SignerProblem(
      'policy_denied',
      `no usable policy: ${cause instanceof Error ? cause.message : 'unreadable'}`,
    );
  }
}

/** Throws `policy_denied` with the reason and the index unless the policy allows every transaction. */
export function requireAllowedTransactions(
  policy: TransactionPolicy,
  kind: 'hedera' | 'evm',
  bodies: readonly Uint8Array[],
  nowMs: number,
): void {
  for (const [index, bytes] of bodies.entries()) {
    const reason = kind === 'hedera' ? findRefusal(policy, bytes, nowMs) : findEvmRefusal(policy, bytes);
    if (reason !== undefined) throw new SignerProblem('policy_denied', `body ${index}: ${reason}`, { index });
  }
}

function findRefusal({ hedera }: TransactionPolicy, bytes: Uint8Array, nowMs: number): string | undefined {
  let body: proto.TransactionBody;
  try {
    body = proto.TransactionBody.decode(bytes);
    // Decoding drops fields it does not know and lets a second kind overrule the first; what is signed must be
    // exactly what was read.
    if (!Buffer.from(proto.TransactionBody.encode(body).finish()).equals(bytes)) return 'holds more than was read';
  } catch {
    return 'is not a transaction body';
  }
  const payer = idOf(body.transactionID?.accountID);
  if (payer === undefined) return 'names no paying account';
  if (hedera.payers !== undefined && !hedera.payers.includes(payer)) return `payer ${payer} is not allowed`;
  const fee = BigInt(String(body.transactionFee ?? 0));
  if (fee < 0n || fee > BigInt(hedera.maxFeeTinybars)) return `fee ${fee} exceeds ${hedera.maxFeeTinybars} tinybars`;
  const refusal = findFrameRefusal(hedera, body, nowMs);
  if (refusal !== undefined) return refusal;
  switch (body.data) {
    case 'consensusSubmitMessage':
      return findMessageRefusal(hedera.topics, body.consensusSubmitMessage);
    case 'consensusCreateTopic':
      return hedera.allowTopicCreation === true ? undefined : 'topics are not created now';
    case 'contractCall':
      return findContractRefusal(hedera.contracts ?? [], body.contractCall);
    default:
      return `${body.data ?? 'an unknown kind'} is not allowed`;
  }
}

/** What surrounds the call: one node, a duration that the network takes, a start near now, no fees of others. */
function findFrameRefusal(
  { nodes }: TransactionPolicy['hedera'],
  body: proto.TransactionBody,
  nowMs: number,
): string | undefined {
  const node = idOf(body.nodeAccountID);
  if (node === undefined) return 'names no node';
  if (nodes !== undefined && !nodes.includes(node)) return `node ${node} is not allowed`;
  const duration = Number(body.transactionValidDuration?.seconds ?? 0);
  if (duration < MIN_DURATION_S || duration > MAX_DURATION_S) return `valid for ${duration} s`;
  const startsIn = Number(body.transactionID?.transactionValidStart?.seconds ?? 0) - nowMs / 1_000;
  if (startsIn > MAX_AHEAD_S || startsIn < -MAX_AGE_S) return `valid from ${Math.round(startsIn)} s from now`;
  if (body.maxCustomFees?.length) return 'agrees to fees of others';
  if (body.transactionID?.scheduled || body.batchKey) return 'is scheduled or part of a batch';
  return undefined;
}

function findContractRefusal(
  allowed: NonNullable<TransactionPolicy['hedera']['contracts']>,
  call: proto.IContractCallTransactionBody | null | undefined,
): string | undefined {
  const { contractID, gas, amount, functionParameters } = call ?? {};
  const id = contractID?.evmAddress?.length
    ? Buffer.from(contractID.evmAddress).toString('hex')
    : contractID?.contractNum && `${contractID.shardNum ?? 0}.${contractID.realmNum ?? 0}.${contractID.contractNum}`;
  const contract = allowed.find(
    (one) => id && (one.id === id || one.evmAddress?.replace(/^0x/, '').toLowerCase() === id),
  );
  if (contract === undefined) return `contract ${id || 'unnamed'} is not allowed`;
  if (BigInt(String(amount ?? 0)) !== 0n) return `the call sends ${amount} tinybars`;
  return findCallRefusal(contract, BigInt(String(gas ?? 0)), functionParameters ?? new Uint8Array(0));
}

function findEvmRefusal({ evm }: TransactionPolicy, bytes: Uint8Array): string | undefined {
  let transaction: EvmTransaction;
  try {
    transaction = readEvmTransaction(bytes);
  } catch (cause) {
    return `is no EIP-1559 transaction: ${cause instanceof Error ? cause.message : 'unreadable'}`;
  }
  const { chainId, to, value, maxFeePerGas, maxPriorityFeePerGas, gas, data } = transaction;
  const contract = evm?.contracts.find((one) => BigInt(one.chainId) === chainId && one.address.toLowerCase() === to);
  if (contract === undefined) return `contract ${to} of chain ${chainId} is not allowed`;
  if (value !== 0n) return `the call sends ${value} wei`;
  if (maxFeePerGas > BigInt(contract.maxFeePerGas) || maxPriorityFeePerGas > maxFeePerGas)
    return `fee ${maxFeePerGas} exceeds ${contract.maxFeePerGas} wei a unit of gas`;
  return findCallRefusal(contract, gas, data);
}

function findMessageRefusal(
  topics: readonly string[],
  submit: proto.IConsensusSubmitMessageTransactionBody | null | undefined,
): string | undefined {
  const { topicID, message, chunkInfo } = submit ?? {};
  const topic =
    topicID?.topicNum === undefined || topicID.topicNum === null
      ? undefined
      : `${topicID.shardNum ?? 0}.${topicID.realmNum ?? 0}.${topicID.topicNum}`;
  if (topic === undefined || !topics.includes(topic)) return `topic ${topic ?? 'unnamed'} is not allowed`;
  const bytes = Buffer.from(message ?? []);
  if (bytes.length > MESSAGE_BYTES) return `the message has ${bytes.length} bytes, at most ${MESSAGE_BYTES}`;
  if (bytes.toString('latin1', 0, MESSAGE_PREFIX.length) !== MESSAGE_PREFIX) return 'the message is not an anchor';
  if (chunkInfo && (chunkInfo.total !== 1 || chunkInfo.number !== 1)) return 'the message is a chunk of a larger one';
  return undefined;
}

function idOf(account: proto.IAccountID | null | undefined): string | undefined {
  if (account?.accountNum === undefined || account.accountNum === null) return undefined;
  return `${account.shardNum ?? 0}.${account.realmNum ?? 0}.${account.accountNum}`;
}

function requirePolicy({ hedera, evm }: TransactionPolicy): void {
  const { topics, payers = [], maxFeeTinybars, contracts = [], nodes = [] } = hedera;
  if (![...topics, ...payers, ...nodes, ...contracts.map((one) => one.id)].every((id) => ENTITY.test(id)))
    throw new Error('topics, payers, nodes and contracts are ids like 0.0.5');
  if (!/^[0-9]{1,19}$/.test(maxFeeTinybars)) throw new Error('maxFeeTinybars is a decimal number');
  for (const contract of contracts) requireAllowedCall(contract);
  for (const contract of evm?.contracts ?? []) {
    requireAllowedCall(contract);
    if (!/^0x[0-9a-fA-F]{40}$/.test(contract.address) || !/^[0-9]{1,30}$/.test(contract.maxFeePerGas))
      throw new Error('address is 20 bytes in hex with 0x, maxFeePerGas a decimal number');
  }
}
