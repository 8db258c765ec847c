/**
 * Signing and sending through the SDK, whatever the transaction does. The SDK's own retries send the same signed bytes
 * to the next node; everything else that it would do by itself (a new id after expiry, a resubmission on a throttled
 * receipt, signing at each send) is switched off or not called. `TransactionResponse.getReceipt` is never used: it
 * resubmits.
 */
import {
  AccountId,
  Client,
  Hbar,
  PrecheckStatusError,
  PublicKey,
  Timestamp,
  Transaction,
  TransactionId,
  type TransactionReceipt,
  TransactionReceiptQuery,
} from '@hashgraph/sdk';
import { toHex } from '../../domain/bytes.ts';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import {
  formatTransactionId,
  type LedgerTransactionId,
  parseEntityId,
  parseTransactionId,
} from '../../domain/ledger/entity-id.ts';
import { OUTCOME_UNKNOWN, type Prepared, type SubmitOutcome } from './anchor-ledger.ts';
import { decideSubmit } from './decision-tables.ts';
import type { KeyResolver } from './key-resolver.ts';
import { LEDGER_DEFAULTS, type LedgerConfig, NODES_PER_TRANSACTION, TLS_PORT } from './ledger-config.ts';

/** The SDK sends the bytes so often, to one node after the other. */
const SEND_ATTEMPTS = 4;
/** Nodes refuse what is valid for less than 10 s more; some of it is spent on the way. */
const SEND_MARGIN_MS = 15_000;
/** Validity begins this long ago, so that a clock a little ahead of theirs does no harm. */
export const BACKDATED_MS = 5_000;
const INVALID_NODE = 'INVALID_NODE_ACCOUNT';

export interface SendingOptions {
  readonly config: LedgerConfig;
  readonly keys: KeyResolver;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** Pauses of the SDK between its attempts, and how long it shuns a node that failed; for tests. */
  readonly backoff?: { readonly minMs: number; readonly maxMs: number };
}

/** What every transaction has, whatever it does. */
export type Signed = Pick<
  Prepared,
  'transactionId' | 'payer' | 'validSeconds' | 'nodes' | 'keyRefs' | 'publicKeys' | 'maxFeeTinybars' | 'signedBytes'
>;

export interface Sending {
  /** Gives the transaction its id, nodes, validity and fee cap, and has it signed by each key once per node. Throws SIGNER_*. */
  sign(
    transaction: Transaction,
    how: { readonly keyRefs: readonly string[]; readonly maxFeeTinybars: string },
  ): Promise<Signed>;
  /** Sends the very bytes once to each of its nodes at most. Never throws for what the network does. */
  submit(signed: Signed): Promise<SubmitOutcome>;
  /** What one node shows, another each time; undefined while it shows nothing, or is away. */
  askReceipt(signed: Signed, round: number): Promise<TransactionReceipt | undefined>;
  /** Whether a node may still accept the bytes. */
  isSendable(signed: Signed): boolean;
  /** Learns the nodes from the mirrors' address book now; keeps those known where none tells. Never throws. */
  refreshNodes(): Promise<void>;
  close(): void;
}

export function createSending(options: SendingOptions): Sending {
  const { clock, random, keys } = options;
  const config = { ...LEDGER_DEFAULTS, ...options.config };
  const backoff = options.backoff ?? { minMs: 250, maxMs: 2_000 };
  let nodes: Nodes = config.nodes;
  let client = createClient(config, nodes, backoff);
  let refreshing: Promise<void> | undefined;
  const hasBook = config.mirrorGrpc !== undefined || Object.keys(config.nodes).length === 0;
  /** Learns the nodes from a mirror; what cannot be learnt leaves those that are known. One at a time. */
  const refresh = (): Promise<void> => {
    if (!hasBook) return Promise.resolve();
    refreshing ??= learnNodes(createClient(config, nodes, backoff), config.requestTimeoutMs)
      .then((learnt) => {
        if (learnt === undefined || isSame(learnt, nodes)) return;
        const used = client;
        nodes = learnt;
        client = createClient(config, nodes, backoff);
        used.close();
      })
      .finally(() => {
        refreshing = undefined;
      });
    return refreshing;
  };
  const timer = setInterval(() => void refresh(), config.addressBookRefreshMs);
  timer.unref();

  return {
    refreshNodes: refresh,
    async sign(transaction, { keyRefs: refs, maxFeeTinybars }) {
      await refreshing;
      const signedFor = pick([...new Set(Object.values(client.network).map(String))], NODES_PER_TRANSACTION, random);
      const id = newTransactionId(config.payerAccountId, clock.nowMs(), random);
      transaction
        .setTransactionId(toSdkId(id))
        .setTransactionValidDuration(config.validSeconds)
        .setNodeAccountIds(signedFor.map((node) => AccountId.fromString(node)))
        .setMaxTransactionFee(Hbar.fromTinybars(maxFeeTinybars))
        .setRegenerateTransactionId(false)
        .freeze();
      const bodies = transaction.signableNodeBodyBytesList.map((item) => item.signableTransactionBodyBytes);
      const keyRefs: string[] = [];
      const publicKeys: string[] = [];
      for (const ref of new Set(refs)) {
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
        transactionId: formatTransactionId(id),
        payer: config.payerAccountId,
        validSeconds: config.validSeconds,
        nodes: signedFor,
        keyRefs,
        publicKeys,
        maxFeeTinybars,
        signedBytes: transaction.toBytes(),
      };
    },
    async submit(signed) {
      const used = client;
      const outcome = await submit(used, signed, clock);
      // All nodes failed. gRPC would now wait up to two minutes before it connects again; a new client does at once.
      // What others have under way on this one ends with an unknown outcome too, and is sent again.
      if (outcome.status === OUTCOME_UNKNOWN && client === used) {
        client = createClient(config, nodes, backoff);
        used.close();
      }
      // The bytes are for nodes that are no more: the next attempt is prepared for those that are.
      if (outcome.status === INVALID_NODE || outcome.status === OUTCOME_UNKNOWN) void refresh();
      return outcome;
    },
    askReceipt: (signed, round) => askReceipt(client, signed, round),
    isSendable: (signed) => isSendable(signed, clock),
    close() {
      clearInterval(timer);
      client.close();
    },
  };
}

type Nodes = Readonly<Record<string, string>>;
type Settings = LedgerConfig & Readonly<Record<keyof typeof LEDGER_DEFAULTS, number>>;

/** The nodes that a mirror names, `host:port` → account; undefined if none answers in time. Closes the client. */
async function learnNodes(client: Client, withinMs: number): Promise<Nodes | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no mirror told the address book in time')), withinMs);
  });
  try {
    await Promise.race([client.updateNetwork(), late]);
    const learnt = Object.entries(client.network).map(([address, account]) => [address, account.toString()]);
    return learnt.length === 0 ? undefined : Object.fromEntries(learnt);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    client.close();
  }
}

function isSame(a: Nodes, b: Nodes): boolean {
  const text = (nodes: Nodes): string => JSON.stringify(Object.entries(nodes).sort(([x], [y]) => (x < y ? -1 : 1)));
  return text(a) === text(b);
}

function createClient(
  settings: Settings,
  nodes: Nodes,
  backoff: { readonly minMs: number; readonly maxMs: number },
): Client {
  const made =
    Object.keys(nodes).length > 0
      ? Client.forNetwork({ ...nodes }, { scheduleNetworkUpdate: false })
      : Client.forName(settings.network, { scheduleNetworkUpdate: false });
  if (settings.mirrorGrpc !== undefined) made.setMirrorNetwork([...settings.mirrorGrpc]);
  // An update of the address book keeps the ports of the transport that is set.
  if (Object.keys(nodes).length > 0)
    made.setTransportSecurity(Object.keys(nodes).every((address) => address.endsWith(`:${TLS_PORT}`)));
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

async function submit(client: Client, signed: Signed, clock: Clock): Promise<SubmitOutcome> {
  if (!isSendable(signed, clock)) return { kind: 'too-late', status: 'TRANSACTION_EXPIRED' };
  try {
    await Transaction.fromBytes(signed.signedBytes).execute(client);
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

async function askReceipt(client: Client, signed: Signed, round: number): Promise<TransactionReceipt | undefined> {
  const id = parseTransactionId(signed.transactionId);
  const node = signed.nodes[round % signed.nodes.length];
  if (id === undefined || node === undefined) return undefined;
  try {
    return await new TransactionReceiptQuery()
      .setTransactionId(toSdkId(id))
      .setNodeAccountIds([AccountId.fromString(node)])
      .setValidateStatus(false)
      .setMaxAttempts(1)
      .execute(client);
  } catch {
    // Not handled yet, not heard of, or the node is away: the SDK says the same for all three.
    return undefined;
  }
}

function isSendable(signed: Signed, clock: Clock): boolean {
  const id = parseTransactionId(signed.transactionId);
  if (id === undefined) return false;
  const endMs = Number(id.validStart.seconds) * 1_000 + signed.validSeconds * 1_000;
  return clock.nowMs() < endMs - SEND_MARGIN_MS;
}

/** Nanoseconds below the millisecond are random: two transactions of one payer never share an id. */
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
