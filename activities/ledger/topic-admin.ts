/**
 * What the cold admin key does to a topic: create it, and rotate its submit key by an overlap in which the old key and
 * the new one may both write. Run by a person, apart from the workers, paid by an account of theirs.
 */

import { createPrivateKey } from 'node:crypto';
import {
  AccountId,
  Client,
  Hbar,
  type Key,
  KeyList,
  PrivateKey,
  PublicKey,
  Timestamp,
  TopicCreateTransaction,
  TopicUpdateTransaction,
  type Transaction,
  TransactionId,
  TransactionReceiptQuery,
} from '@hashgraph/sdk';
import { toHex } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { ResolvedKey } from './key-resolver.ts';
import type { LedgerConfig } from './ledger-config.ts';
import { isSatisfiedBy, readLedgerKey } from './ledger-key.ts';
import type { MirrorClient } from './mirror-client.ts';

/** A topic costs a cent and a cent a key, an update less. */
const MAX_FEE_HBAR = 5;
const BACKDATED_MS = 5_000;
const RECEIPT_ATTEMPTS = 60;
const RECEIPT_PAUSE_MS = 500;

export interface TopicAdmin {
  /** Pays for the transaction. */
  readonly accountId: string;
  /** PKCS #8 PEM, Ed25519. */
  readonly accountKey: string;
  /** PKCS #8 PEM, Ed25519: as many as the topic's admin key needs. */
  readonly adminKeys: readonly string[];
}

export type RotationPhase = 'overlap' | 'finish';

/** Creates a topic that only `submitKey` may write to and only `threshold` of the admin keys may change. Returns its id. */
export async function createTopic(
  config: Pick<LedgerConfig, 'network' | 'nodes'>,
  admin: TopicAdmin & { readonly threshold: number; readonly memo: string },
  submitKey: Uint8Array,
  now: () => number = Date.now,
): Promise<string> {
  const { adminKeys, threshold, memo } = admin;
  if (threshold < 1 || threshold > adminKeys.length)
    throw new ProoflineError('CONFIG_INVALID', `a threshold of ${threshold} over ${adminKeys.length} admin keys`);
  const list = new KeyList(
    adminKeys.map((pem) => readKey(pem).publicKey),
    threshold,
  );
  const transaction = new TopicCreateTransaction()
    .setTopicMemo(memo)
    .setAdminKey(list)
    .setSubmitKey(PublicKey.fromBytesED25519(submitKey));
  const receipt = await execute(config, admin, transaction, now);
  if (receipt.topicId === null) throw new ProoflineError('LEDGER_REJECTED', 'the receipt names no topic');
  return receipt.topicId.toString();
}

/**
 * `overlap`: old key and new may both write; then workers are switched to the new one; `finish`: the new one alone.
 * Repeating a phase that is done does nothing. Throws LEDGER_REJECTED if the topic's key is none that the phase begins
 * with, or the network refuses.
 */
export async function rotateSubmitKey(input: {
  readonly config: LedgerConfig;
  readonly mirror: MirrorClient;
  readonly admin: TopicAdmin;
  /** The key that may write before; `overlap` needs it. */
  readonly from: ResolvedKey;
  readonly to: ResolvedKey;
  readonly phase: RotationPhase;
  readonly now?: () => number;
}): Promise<'done' | 'already'> {
  const { config, mirror, admin, from, to, phase, now = Date.now } = input;
  const shown = (await mirror.topic(config.topicId))?.submitKey;
  const current = shown && readLedgerKey(shown);
  if (current === undefined) throw new ProoflineError('LEDGER_REJECTED', `topic ${config.topicId} shows no submit key`);
  const isOld = isSatisfiedBy(current, [from.publicKey]);
  const isNew = isSatisfiedBy(current, [to.publicKey]);
  const isAlone = current.ed25519 != null && current.ed25519.length > 0;
  if (phase === 'overlap' && toHex(from.publicKey) === toHex(to.publicKey))
    throw new ProoflineError('CONFIG_INVALID', `${from.keyRef} and ${to.keyRef} are the same key`);
  if (phase === 'overlap' ? isOld && isNew : isNew && isAlone) return 'already';
  if (phase === 'overlap' ? !isOld : !isNew)
    throw new ProoflineError(
      'LEDGER_REJECTED',
      phase === 'overlap'
        ? `the submit key of ${config.topicId} is not ${from.keyRef}`
        : `${to.keyRef} may not write to ${config.topicId} yet: the overlap comes first`,
    );
  const next = PublicKey.fromBytesED25519(to.publicKey);
  const key: Key = phase === 'overlap' ? new KeyList([PublicKey.fromBytesED25519(from.publicKey), next], 1) : next;
  await execute(config, admin, new TopicUpdateTransaction().setTopicId(config.topicId).setSubmitKey(key), now);
  return 'done';
}

/** Signs with the payer and every admin key, sends once, and waits for the receipt of that very id. */
async function execute(
  { network, nodes }: Pick<LedgerConfig, 'network' | 'nodes'>,
  { accountId, accountKey, adminKeys }: TopicAdmin,
  transaction: Transaction,
  now: () => number,
) {
  const client =
    Object.keys(nodes).length > 0
      ? Client.forNetwork({ ...nodes }, { scheduleNetworkUpdate: false })
      : Client.forName(network, { scheduleNetworkUpdate: false });
  try {
    const startMs = now() - BACKDATED_MS;
    const id = TransactionId.withValidStart(
      AccountId.fromString(accountId),
      new Timestamp(Math.floor(startMs / 1_000), (startMs % 1_000) * 1_000_000),
    );
    transaction
      .setTransactionId(id)
      .setMaxTransactionFee(new Hbar(MAX_FEE_HBAR))
      .setRegenerateTransactionId(false)
      .freezeWith(client);
    for (const pem of new Set([accountKey, ...adminKeys])) await transaction.sign(readKey(pem));
    await transaction.execute(client);
    const query = (): TransactionReceiptQuery =>
      new TransactionReceiptQuery().setTransactionId(id).setValidateStatus(false).setMaxAttempts(1);
    for (let attempt = 0; attempt < RECEIPT_ATTEMPTS; attempt++) {
      const receipt = await query()
        .execute(client)
        .catch(() => undefined);
      const status = receipt?.status.toString();
      if (receipt !== undefined && status === 'SUCCESS') return receipt;
      if (status !== undefined && status !== 'UNKNOWN' && status !== 'RECEIPT_NOT_FOUND')
        throw new ProoflineError('LEDGER_REJECTED', `${id} ended ${status}`);
      await new Promise((resolve) => setTimeout(resolve, RECEIPT_PAUSE_MS));
    }
    throw new ProoflineError('LEDGER_NOT_CONFIRMED', `no node tells what became of ${id}; look before you repeat it`);
  } catch (cause) {
    if (cause instanceof ProoflineError) throw cause;
    throw new ProoflineError('LEDGER_REJECTED', cause instanceof Error ? cause.message : 'the network refused', {
      cause,
    });
  } finally {
    client.close();
  }
}

function readKey(pem: string): PrivateKey {
  try {
    const { d } = createPrivateKey(pem).export({ format: 'jwk' }) as { d?: string };
    return PrivateKey.fromBytesED25519(Buffer.from(d ?? '', 'base64url'));
  } catch (cause) {
    throw new ProoflineError('CONFIG_INVALID', 'a key file holds no Ed25519 key in PKCS #8 PEM', { cause });
  }
}
