/**
 * What the signer signs for a ledger. It decodes the transaction itself and refuses whatever it does not know:
 * a stolen client certificate can post anchors, not move money.
 */
import { readFile } from 'node:fs/promises';
import { proto } from '@hiero-ledger/proto';
import { writeDurably } from '../keys/write-durably.ts';
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
  };
}

const MESSAGE_PREFIX = 'pl1|';
const MESSAGE_BYTES = 100;
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

/** Throws `policy_denied` with the reason unless the bytes are a Hedera transaction body that the policy allows. */
export function requireAllowedBody(policy: TransactionPolicy, bytes: Uint8Array, index: number): void {
  const reason = findRefusal(policy, bytes);
  if (reason !== undefined) throw new SignerProblem('policy_denied', `body ${index}: ${reason}`, { index });
}

function findRefusal({ hedera }: TransactionPolicy, bytes: Uint8Array): string | undefined {
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
  if (BigInt(String(body.transactionFee ?? 0)) > BigInt(hedera.maxFeeTinybars))
    return `fee ${body.transactionFee} exceeds ${hedera.maxFeeTinybars} tinybars`;
  switch (body.data) {
    case 'consensusSubmitMessage':
      return findMessageRefusal(hedera.topics, body.consensusSubmitMessage);
    case 'consensusCreateTopic':
      return hedera.allowTopicCreation === true ? undefined : 'topics are not created now';
    default:
      return `${body.data ?? 'an unknown kind'} is not allowed`;
  }
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

function requirePolicy(policy: TransactionPolicy): void {
  const { topics, payers, maxFeeTinybars } = policy.hedera;
  if (![...topics, ...(payers ?? [])].every((id) => ENTITY.test(id)))
    throw new Error('topics and payers are ids like 0.0.5');
  if (!/^[0-9]{1,19}$/.test(maxFeeTinybars)) throw new Error('maxFeeTinybars is a decimal number');
}
