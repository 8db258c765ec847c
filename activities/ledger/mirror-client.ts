/**
 * Reads a mirror node's REST interface: bounded in time and size, no redirects, and every answer read against its
 * shape, since a mirror is a stranger. 404 is an answer; anything else that is not 200 is none.
 */
import { Agent, request } from 'undici';
import {
  formatMirrorTransactionId,
  type LedgerTransactionId,
  parseEntityId,
  parseLedgerTime,
} from '../../domain/ledger/entity-id.ts';

const MAX_BYTES = 256 * 1_024;

/** A mirror did not answer, or not with what its interface says. The message names the mirror and no more. */
export class MirrorUnreachable extends Error {}

export interface MirrorTransaction {
  readonly consensusTimestamp: string;
  readonly result: string;
  readonly nonce: number;
  readonly entityId: string | undefined;
  /** SHA-384 of the signed bytes of the copy that reached consensus. */
  readonly hash: Uint8Array;
  readonly chargedTinybars: bigint | undefined;
}

/** The copy that counts: the first that executed, else the first. Undefined if there are only children of the transaction. */
export function decisiveCopy(copies: readonly MirrorTransaction[]): MirrorTransaction | undefined {
  const own = copies.filter((copy) => copy.nonce === 0);
  return own.find((copy) => copy.result === 'SUCCESS') ?? own[0];
}

export interface MirrorMessage {
  readonly topicId: string;
  readonly sequenceNumber: bigint;
  readonly consensusTimestamp: string;
  readonly payer: string;
  readonly message: Uint8Array;
  readonly runningHash: Uint8Array;
  readonly runningHashVersion: number;
}

/** `key`: hex of the raw key, or of the protobuf of a key list or threshold key. */
export interface MirrorKey {
  readonly type: string;
  readonly key: string;
}

export interface MirrorTopic {
  readonly isDeleted: boolean;
  readonly submitKey: MirrorKey | undefined;
  readonly adminKey: MirrorKey | undefined;
  readonly hasCustomFees: boolean;
}

export interface MirrorAccount {
  readonly isDeleted: boolean;
  readonly key: MirrorKey | undefined;
  readonly tinybars: bigint;
}

export interface MirrorClient {
  readonly url: string;
  /** The JSON object at a path below `/api/v1/`; undefined for 404. Throws MirrorUnreachable. */
  read(path: string): Promise<Record<string, unknown> | undefined>;
  /** Every copy that reached consensus, in consensus order; undefined for 404. */
  transaction(id: LedgerTransactionId): Promise<readonly MirrorTransaction[] | undefined>;
  messageBySequence(topicId: string, sequenceNumber: bigint): Promise<MirrorMessage | undefined>;
  messageByTime(consensusTimestamp: string): Promise<MirrorMessage | undefined>;
  /** At most 100 messages of a topic, newest first, below a sequence number if given; none for an unknown topic. */
  newestMessages(topicId: string, below?: bigint): Promise<readonly MirrorMessage[]>;
  /** At most 100 messages of a topic above a sequence number, in order; none for an unknown topic. */
  messagesAfter(topicId: string, sequenceNumber: bigint): Promise<readonly MirrorMessage[]>;
  topic(topicId: string): Promise<MirrorTopic | undefined>;
  account(accountId: string): Promise<MirrorAccount | undefined>;
  /** The beginning of block 0, which tells networks apart; undefined where the mirror does not reach back so far. */
  firstBlockStart(): Promise<string | undefined>;
  /** The end of the newest block, `seconds.nnnnnnnnn`. */
  newestBlockEnd(): Promise<string | undefined>;
  /** In tinybars. */
  balance(accountId: string): Promise<bigint | undefined>;
}

export interface MirrorTransport {
  mirror(url: string): MirrorClient;
  close(): void;
}

/** Mirrors share one bounded pool of connections. */
export function createMirrorTransport(timeoutMs: number): MirrorTransport {
  const agent = new Agent({
    connections: 4,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connect: { timeout: timeoutMs },
  });
  return {
    mirror: (url) => createMirrorClient(url, (path) => getJson(agent, url, path, timeoutMs)),
    close: () => void agent.destroy().catch(() => undefined),
  };
}

type Get = (path: string) => Promise<Record<string, unknown> | undefined>;

function createMirrorClient(url: string, get: Get): MirrorClient {
  const bad = (what: string): MirrorUnreachable => new MirrorUnreachable(`${url} answered without ${what}`);
  return {
    url,
    read: get,
    async transaction(id) {
      const body = await get(`transactions/${formatMirrorTransactionId(id)}`);
      if (body === undefined) return undefined;
      if (!Array.isArray(body.transactions) || body.transactions.length === 0) throw bad('transactions');
      return body.transactions.map((row: unknown) => readTransaction(row) ?? fail(bad('a transaction')));
    },
    async messageBySequence(topicId, sequenceNumber) {
      const body = await get(`topics/${topicId}/messages/${sequenceNumber}`);
      return body === undefined ? undefined : (readMessage(body) ?? fail(bad('a message')));
    },
    async messageByTime(consensusTimestamp) {
      const body = await get(`topics/messages/${consensusTimestamp}`);
      return body === undefined ? undefined : (readMessage(body) ?? fail(bad('a message')));
    },
    async newestMessages(topicId, below) {
      const range = below === undefined ? '' : `&sequencenumber=lt:${below}`;
      const body = await get(`topics/${topicId}/messages?limit=100&order=desc${range}`);
      if (body === undefined) return [];
      if (!Array.isArray(body.messages)) throw bad('messages');
      return body.messages.map((row: unknown) => readMessage(row) ?? fail(bad('a message')));
    },
    async messagesAfter(topicId, sequenceNumber) {
      const body = await get(`topics/${topicId}/messages?limit=100&order=asc&sequencenumber=gt:${sequenceNumber}`);
      if (body === undefined) return [];
      if (!Array.isArray(body.messages)) throw bad('messages');
      return body.messages.map((row: unknown) => readMessage(row) ?? fail(bad('a message')));
    },
    async topic(topicId) {
      const body = await get(`topics/${topicId}`);
      if (body === undefined) return undefined;
      if (body.topic_id !== topicId) throw bad('the topic');
      const fees = asRecord(body.custom_fees)?.fixed_fees;
      return {
        isDeleted: body.deleted === true,
        submitKey: readKey(body.submit_key),
        adminKey: readKey(body.admin_key),
        hasCustomFees: Array.isArray(fees) && fees.length > 0,
      };
    },
    async account(accountId) {
      const body = await get(`accounts/${accountId}?transactions=false`);
      if (body === undefined) return undefined;
      const balance = asRecord(body.balance)?.balance;
      if (typeof balance !== 'number' || !Number.isSafeInteger(balance)) throw bad('a balance');
      return { isDeleted: body.deleted === true, key: readKey(body.key), tinybars: BigInt(balance) };
    },
    async firstBlockStart() {
      const from = asRecord((await get('blocks/0'))?.timestamp)?.from;
      return typeof from === 'string' && parseLedgerTime(from) !== undefined ? from : undefined;
    },
    async newestBlockEnd() {
      const body = await get('blocks?limit=1&order=desc');
      const [block] = Array.isArray(body?.blocks) ? (body.blocks as unknown[]) : [];
      const to = asRecord(asRecord(block)?.timestamp)?.to;
      return typeof to === 'string' && parseLedgerTime(to) !== undefined ? to : undefined;
    },
    async balance(accountId) {
      const body = await get(`balances?account.id=${accountId}`);
      const [row] = Array.isArray(body?.balances) ? (body.balances as unknown[]) : [];
      const balance = asRecord(row)?.balance;
      return typeof balance === 'number' && Number.isSafeInteger(balance) ? BigInt(balance) : undefined;
    },
  };
}

async function getJson(
  agent: Agent,
  url: string,
  path: string,
  timeoutMs: number,
): Promise<Record<string, unknown> | undefined> {
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await request(`${url}/api/v1/${path}`, {
      dispatcher: agent,
      signal,
      headers: { accept: 'application/json' },
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response.body) {
      length += (chunk as Buffer).length;
      if (length > MAX_BYTES) throw new MirrorUnreachable(`${url} answered more than ${MAX_BYTES} bytes`);
      chunks.push(chunk as Buffer);
    }
    if (response.statusCode === 404) return undefined;
    if (response.statusCode !== 200) throw new MirrorUnreachable(`${url} answered ${response.statusCode}`);
    return (
      asRecord(JSON.parse(Buffer.concat(chunks).toString('utf8'))) ??
      fail(new MirrorUnreachable(`${url} answered no object`))
    );
  } catch (cause) {
    if (cause instanceof MirrorUnreachable) throw cause;
    throw new MirrorUnreachable(`${url} did not answer`, { cause });
  }
}

function readTransaction(value: unknown): MirrorTransaction | undefined {
  const row = asRecord(value);
  if (row === undefined) return undefined;
  const { consensus_timestamp: consensusTimestamp, result, nonce, entity_id: entityId, transaction_hash: hash } = row;
  const { charged_tx_fee: charged } = row;
  if (typeof consensusTimestamp !== 'string' || parseLedgerTime(consensusTimestamp) === undefined) return undefined;
  if (typeof result !== 'string' || typeof nonce !== 'number' || typeof hash !== 'string') return undefined;
  return {
    consensusTimestamp,
    result: result.slice(0, 80),
    nonce,
    entityId: typeof entityId === 'string' ? entityId.slice(0, 80) : undefined,
    hash: Buffer.from(hash, 'base64'),
    chargedTinybars:
      typeof charged === 'number' && Number.isSafeInteger(charged) && charged >= 0 ? BigInt(charged) : undefined,
  };
}

function readMessage(value: unknown): MirrorMessage | undefined {
  const row = asRecord(value);
  if (row === undefined) return undefined;
  const { topic_id: topicId, consensus_timestamp: consensusTimestamp, payer_account_id: payer } = row;
  const {
    message,
    running_hash: runningHash,
    running_hash_version: runningHashVersion,
    sequence_number: sequence,
  } = row;
  if (typeof topicId !== 'string' || parseEntityId(topicId) === undefined) return undefined;
  if (typeof payer !== 'string' || parseEntityId(payer) === undefined) return undefined;
  if (typeof consensusTimestamp !== 'string' || parseLedgerTime(consensusTimestamp) === undefined) return undefined;
  if (typeof message !== 'string' || typeof runningHash !== 'string' || typeof runningHashVersion !== 'number')
    return undefined;
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 1) return undefined;
  return {
    topicId,
    sequenceNumber: BigInt(sequence),
    consensusTimestamp,
    payer,
    message: Buffer.from(message, 'base64'),
    runningHash: Buffer.from(runningHash, 'base64'),
    runningHashVersion,
  };
}

function readKey(value: unknown): MirrorKey | undefined {
  const { _type: type, key } = asRecord(value) ?? {};
  if (typeof type !== 'string' || typeof key !== 'string') return undefined;
  return /^(?:[0-9a-f]{2}){0,4096}$/i.test(key) ? { type, key: key.toLowerCase() } : undefined;
}

function asRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function fail(error: Error): never {
  throw error;
}
