/**
 * Anchors on the Hedera Consensus Service through the SDK. The SDK's own retries send the same signed bytes to the
 * next node; everything else that it would do by itself (a new id after expiry, a resubmission on a throttled receipt,
 * signing at each send) is switched off or not called. `TransactionResponse.getReceipt` is never used: it resubmits.
 */
import {
  AccountId,
  Client,
  Hbar,
  PrecheckStatusError,
  PublicKey,
  Timestamp,
  TopicMessageSubmitTransaction,
  Transaction,
  TransactionId,
  TransactionReceiptQuery,
} from '@hashgraph/sdk';
import { toBase64Url, toHex } from '../../domain/bytes.ts';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { ANCHOR_MESSAGE_MAX_BYTES } from '../../domain/ledger/anchor-message.ts';
import {
  formatTransactionId,
  type LedgerTransactionId,
  parseEntityId,
  parseTransactionId,
} from '../../domain/ledger/entity-id.ts';
import {
  type AnchorLedger,
  OUTCOME_UNKNOWN,
  type Prepared,
  type Receipt,
  type ReceiptOutcome,
  type SubmitOutcome,
} from './anchor-ledger.ts';
import { decideReceipt, decideSubmit } from './decision-tables.ts';
import type { KeyResolver } from './key-resolver.ts';
import { LEDGER_DEFAULTS, type LedgerConfig, NODES_PER_TRANSACTION } from './ledger-config.ts';
import { createMirrorTransport } from './mirror-client.ts';
import { confirm, isProvenAbsent, lookUp, readHealth } from './mirror-quorum.ts';

/** The SDK sends the bytes so often, to one node after the other. */
const SEND_ATTEMPTS = 4;
/** Nodes refuse what is valid for less than 10 s more; some of it is spent on the way. */
const SEND_MARGIN_MS = 15_000;
/** Validity begins this long ago, so that a clock a little ahead of theirs does no harm. */
const BACKDATED_MS = 5_000;

export interface HederaLedgerOptions {
  readonly config: LedgerConfig;
  readonly keys: KeyResolver;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** Pauses of the SDK between its attempts, and how long it shuns a node that failed; for tests. */
  readonly backoff?: { readonly minMs: number; readonly maxMs: number };
}

export function createHederaLedger(options: HederaLedgerOptions): AnchorLedger {
  const { clock, random } = options;
  const config = { ...LEDGER_DEFAULTS, ...options.config };
  const backoff = options.backoff ?? { minMs: 250, maxMs: 2_000 };
  let client = createClient(config, backoff);
  const transport = createMirrorTransport(config.mirrorTimeoutMs);
  const mirrors = config.mirrors.map(transport.mirror);

  return {
    prepare: (message) => prepare(client, config, options, message),
    async submit(prepared) {
      const used = client;
      const outcome = await submit(used, prepared, clock);
      // All nodes failed. gRPC would now wait up to two minutes before it connects again; a new client does at once.
      // What others have under way on this one ends with an unknown outcome too, and is sent again.
      if (outcome.status === OUTCOME_UNKNOWN && client === used) {
        client = createClient(config, backoff);
        used.close();
      }
      return outcome;
    },
    receipt: (prepared, round) => askNode(client, prepared, round),
    lookUp: (prepared) => lookUp(mirrors, config.mirrorQuorum, prepared),
    confirm: (prepared, receipt) => confirm(mirrors, config.mirrorQuorum, prepared, receipt),
    provenAbsent: (prepared) => isProvenAbsent(mirrors, config.mirrorQuorum, prepared),
    isSendable: (prepared) => isSendable(prepared, clock),
    health: () => readHealth(mirrors, config.payerAccountId, clock),
    close() {
      client.close();
      transport.close();
    },
  };

  function createClient(settings: typeof config, backoff: { minMs: number; maxMs: number }): Client {
    const made =
      Object.keys(settings.nodes).length > 0
        ? Client.forNetwork({ ...settings.nodes }, { scheduleNetworkUpdate: false })
        : Client.forName(settings.network, { scheduleNetworkUpdate: false });
    return made
      .setGrpcDeadline(settings.grpcDeadlineMs)
      .setRequestTimeout(settings.requestTimeoutMs)
      .setMaxAttempts(SEND_ATTEMPTS)
      .setMinBackoff(backoff.minMs)
      .setMaxBackoff(backoff.maxMs)
      .setNodeMinBackoff(backoff.minMs)
      .setNodeMaxBackoff(backoff.maxMs)
      .setDefaultRegenerateTransactionId(false);
  }

  async function prepare(
    sdk: Client,
    settings: typeof config,
    { keys }: HederaLedgerOptions,
    message: string,
  ): Promise<Prepared> {
    const bytes = Buffer.byteLength(message);
    if (bytes > ANCHOR_MESSAGE_MAX_BYTES) throw new ProoflineError('ANCHOR_MESSAGE_TOO_LONG', `${bytes} bytes`);
    const nodes = pick([...new Set(Object.values(sdk.network).map(String))], NODES_PER_TRANSACTION, random);
    const id = newTransactionId(settings.payerAccountId, clock.nowMs(), random);
    const transaction = new TopicMessageSubmitTransaction()
      .setTopicId(settings.topicId)
      .setMessage(message)
      .setMaxChunks(1)
      .setTransactionId(toSdkId(id))
      .setTransactionValidDuration(settings.validSeconds)
      .setNodeAccountIds(nodes.map((node) => AccountId.fromString(node)))
      .setMaxTransactionFee(Hbar.fromTinybars(settings.maxFeeTinybars))
      .setRegenerateTransactionId(false)
      .freeze();
    const bodies = transaction.signableNodeBodyBytesList.map((item) => item.signableTransactionBodyBytes);
    const keyRefs: string[] = [];
    const publicKeys: string[] = [];
    for (const ref of new Set([settings.payerKeyRef, settings.submitKeyRef ?? settings.payerKeyRef])) {
      const { keyRef, publicKey, sign } = await keys.resolve(ref);
      const signatures = await sign(bodies);
      const byBody = new Map(bodies.map((body, i) => [toHex(body), signatures[i]]));
      await transaction.signWith(PublicKey.fromBytesED25519(publicKey), async (body) => {
        const signature = byBody.get(toHex(body));
        if (signature === undefined)
          throw new ProoflineError('SIGNER_BAD_ANSWER', `no signature of ${keyRef} for a body`);
        return signature;
      });
      keyRefs.push(keyRef);
      publicKeys.push(toHex(publicKey));
    }
    return {
      network: settings.network,
      topicId: settings.topicId,
      transactionId: formatTransactionId(id),
      payer: settings.payerAccountId,
      validSeconds: settings.validSeconds,
      nodes,
      message,
      keyRefs,
      publicKeys,
      maxFeeTinybars: settings.maxFeeTinybars,
      signedBytes: transaction.toBytes(),
    };
  }
}

async function submit(client: Client, prepared: Prepared, clock: Clock): Promise<SubmitOutcome> {
  if (!isSendable(prepared, clock)) return { kind: 'too-late', status: 'TRANSACTION_EXPIRED' };
  try {
    await Transaction.fromBytes(prepared.signedBytes).execute(client);
    return { kind: 'sent', status: 'OK' };
  } catch (error) {
    if (error instanceof PrecheckStatusError) {
      const status = error.status.toString();
      return { kind: decideSubmit(status), status };
    }
    // A lost answer, a spent deadline, nodes that are down: a copy may be under way.
    return { kind: 'sent', status: OUTCOME_UNKNOWN };
  }
}

async function askNode(client: Client, prepared: Prepared, round: number): Promise<ReceiptOutcome> {
  const id = parseTransactionId(prepared.transactionId);
  const node = prepared.nodes[round % prepared.nodes.length];
  if (id === undefined || node === undefined) return { kind: 'pending' };
  try {
    const receipt = await new TransactionReceiptQuery()
      .setTransactionId(toSdkId(id))
      .setNodeAccountIds([AccountId.fromString(node)])
      .setValidateStatus(false)
      .setMaxAttempts(1)
      .execute(client);
    const status = receipt.status.toString();
    const decision = decideReceipt(status);
    if (decision !== 'consensus') return decision === 'pending' ? { kind: 'pending' } : { kind: decision, status };
    return { kind: 'consensus', receipt: toReceipt(receipt.topicSequenceNumber, receipt.topicRunningHash) };
  } catch {
    // Not handled yet, not heard of, or the node is away: the SDK says the same for all three.
    return { kind: 'pending' };
  }
}

function toReceipt(sequenceNumber: { toString(): string } | null, runningHash: Uint8Array | null): Receipt {
  return {
    ...(sequenceNumber === null ? {} : { sequenceNumber: sequenceNumber.toString() }),
    ...(runningHash === null || runningHash.length === 0 ? {} : { runningHash: toBase64Url(runningHash) }),
  };
}

function isSendable(prepared: Prepared, clock: Clock): boolean {
  const id = parseTransactionId(prepared.transactionId);
  if (id === undefined) return false;
  const endMs = Number(id.validStart.seconds) * 1_000 + prepared.validSeconds * 1_000;
  return clock.nowMs() < endMs - SEND_MARGIN_MS;
}

/** Nanoseconds below the millisecond are random: two anchors of one payer never share an id. */
function newTransactionId(payerAccountId: string, nowMs: number, random: () => number): LedgerTransactionId {
  const payer = parseEntityId(payerAccountId);
  if (payer === undefined) throw new ProoflineError('CONFIG_INVALID', `${payerAccountId} is not an account id`);
  const startMs = nowMs - BACKDATED_MS;
  const nanos = (startMs % 1_000) * 1_000_000 + Math.floor(random() * 1_000_000);
  return { payer, validStart: { seconds: BigInt(Math.floor(startMs / 1_000)), nanos } };
}

function toSdkId({ payer, validStart }: LedgerTransactionId): TransactionId {
  const account = AccountId.fromString(`${payer.shard}.${payer.realm}.${payer.num}`);
  return TransactionId.withValidStart(account, new Timestamp(Number(validStart.seconds), validStart.nanos));
}

/** `count` of `items`, at random and in random order. */
function pick<T>(items: readonly T[], count: number, random: () => number): T[] {
  const left = [...items];
  return Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(Math.floor(random() * left.length), 1)[0] as T,
  );
}
