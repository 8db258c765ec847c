/** What anchoring needs on a network, made once by a ceremony: the account that pays, and the topic. */
import {
  AccountCreateTransaction,
  type Client,
  Hbar,
  KeyList,
  PrivateKey,
  PublicKey,
  TopicCreateTransaction,
} from '@hashgraph/sdk';

const CREATION_FEE_HBAR = 20;
const MEMO = 'Proofline checkpoints';

/** An account for the signer's key (64 hex digits, Ed25519). Not idempotent. Throws the SDK's StatusError. */
export async function createPayer(
  client: Client,
  input: { readonly publicKey: string; readonly hbar: number },
): Promise<{ readonly accountId: string }> {
  const response = await new AccountCreateTransaction()
    .setKeyWithoutAlias(ed25519(input.publicKey))
    .setInitialBalance(new Hbar(input.hbar))
    .setMaxTransactionFee(new Hbar(CREATION_FEE_HBAR))
    .execute(client);
  const { accountId } = await response.getReceiptQuery().execute(client);
  return { accountId: String(accountId) };
}

export interface TopicKeys {
  /** 64 hex digits: the only key that may write. */
  readonly submitKey: string;
  /** Public halves, 64 hex digits each: `threshold` of them may change the submit key. */
  readonly adminKeys: readonly string[];
  readonly threshold: number;
  /** PEM of the private halves that sign the creation: `threshold` of them. */
  readonly adminPems: readonly string[];
}

/** A topic that only the submit key writes to, without custom fees. Not idempotent. Throws the SDK's StatusError. */
export async function createTopic(client: Client, keys: TopicKeys): Promise<{ readonly topicId: string }> {
  const { submitKey, adminKeys, threshold, adminPems } = keys;
  if (threshold < 1 || threshold > adminKeys.length)
    throw new Error(`a threshold of ${threshold} of ${adminKeys.length} keys`);
  let transaction = new TopicCreateTransaction()
    .setTopicMemo(MEMO)
    .setSubmitKey(ed25519(submitKey))
    .setAdminKey(new KeyList(adminKeys.map(ed25519), threshold))
    .setMaxTransactionFee(new Hbar(CREATION_FEE_HBAR))
    .freezeWith(client);
  for (const pem of adminPems) transaction = await transaction.sign(await PrivateKey.fromPem(pem));
  const { topicId } = await (await transaction.execute(client)).getReceiptQuery().execute(client);
  return { topicId: String(topicId) };
}

function ed25519(hex: string): PublicKey {
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new TypeError(`${hex.slice(0, 80)} is not 64 hex digits`);
  return PublicKey.fromBytesED25519(Buffer.from(hex, 'hex'));
}
