/** Transactions of the simulator's own treasury: accounts and topics for those who set a network up. */
import type { proto } from '@hiero-ledger/proto';
import type { Ledger } from './ledger.ts';
import { signByEd25519, signTransaction } from './sign-transaction.ts';
import type { SimClock } from './sim-clock.ts';
import { DEFAULT_AUTO_RENEW_SECONDS, TREASURY } from './state.ts';
import { accountId, nanosToTime, toLong } from './wire.ts';

const TINYBARS_PER_HBAR = 100_000_000n;
const ED25519_KEY_BYTES = 32;

/** 32 bytes are an Ed25519 key, 33 an ECDSA key; or a key of any shape, as the network's API has it. */
export type PublicKey = Uint8Array | proto.IKey;

export interface Treasury {
  /** Creates an account and returns its id. */
  createAccount(input: { publicKey: PublicKey; balanceHbar: number }): string;
  /** Creates a topic without an admin key and returns its id. Without a submit key anybody may write. */
  createTopic(input: { submitKey?: PublicKey; memo?: string }): string;
}

/** `node`: the account of a node that takes its transactions. */
export function createTreasury(ledger: Ledger, clock: SimClock, node: () => string, privateKeyPem: string): Treasury {
  const signer = signByEd25519(privateKeyPem);
  let lastStart = 0n;
  const execute = (content: proto.ITransactionBody): string => {
    const wanted = clock.ingestNanos() - 1_000_000_000n;
    lastStart = wanted > lastStart ? wanted : lastStart + 1n;
    const bytes = signTransaction(
      {
        ...content,
        transactionID: { accountID: accountId(TREASURY), transactionValidStart: nanosToTime(lastStart) },
        nodeAccountID: accountId(node()),
        transactionFee: toLong(100n * TINYBARS_PER_HBAR),
        transactionValidDuration: { seconds: toLong(120n) },
      },
      [signer],
    );
    const { entity } = ledger.executeNow(node(), bytes);
    if (entity === undefined) throw new Error('the transaction created nothing');
    return entity;
  };
  return {
    createAccount: (input) =>
      execute({
        cryptoCreateAccount: {
          key: keyOf(input.publicKey),
          initialBalance: toLong(BigInt(Math.round(input.balanceHbar)) * TINYBARS_PER_HBAR),
        },
      }),
    createTopic: ({ submitKey, memo }) =>
      execute({
        consensusCreateTopic: {
          memo: memo ?? '',
          autoRenewPeriod: { seconds: toLong(BigInt(DEFAULT_AUTO_RENEW_SECONDS)) },
          ...(submitKey === undefined ? {} : { submitKey: keyOf(submitKey) }),
        },
      }),
  };
}

function keyOf(key: PublicKey): proto.IKey {
  if (!(key instanceof Uint8Array)) return key;
  return key.length === ED25519_KEY_BYTES ? { ed25519: key } : { ECDSASecp256k1: key };
}
