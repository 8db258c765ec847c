/** Transactions of the simulator's own treasury: accounts and topics for those who set a network up. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { proto } from '@hiero-ledger/proto';
import type { Ledger } from './ledger.ts';
import type { SimClock } from './sim-clock.ts';
import { TREASURY } from './state.ts';
import { accountId, nanosToTime, toLong } from './wire.ts';

const TINYBARS_PER_HBAR = 100_000_000n;

export interface Treasury {
  /** Creates an account and returns its id. `publicKey`: 32 bytes, Ed25519. */
  createAccount(input: { publicKey: Uint8Array; balanceHbar: number }): string;
  /** Creates a topic without an admin key and returns its id. `submitKey`: 32 bytes, Ed25519; without it anybody may write. */
  createTopic(input: { submitKey?: Uint8Array; memo?: string }): string;
}

export function newTreasuryKeyPem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** The 32 bytes of the public half. */
export function publicKeyOf(privateKeyPem: string): Uint8Array {
  const spki = createPublicKey(privateKeyPem).export({ format: 'der', type: 'spki' });
  return Uint8Array.from(spki.subarray(-32));
}

export function createTreasury(ledger: Ledger, clock: SimClock, node: string, privateKeyPem: string): Treasury {
  const key = createPrivateKey(privateKeyPem);
  const publicKey = publicKeyOf(privateKeyPem);
  let lastStart = 0n;
  const execute = (content: proto.ITransactionBody): string => {
    const wanted = clock.nowNanos() - 1_000_000_000n;
    lastStart = wanted > lastStart ? wanted : lastStart + 1n;
    const bytes = signTransaction(
      {
        ...content,
        transactionID: { accountID: accountId(TREASURY), transactionValidStart: nanosToTime(lastStart) },
        nodeAccountID: accountId(node),
        transactionFee: toLong(100n * TINYBARS_PER_HBAR),
        transactionValidDuration: { seconds: toLong(120n) },
      },
      key,
      publicKey,
    );
    const { entity } = ledger.executeNow(node, bytes);
    if (entity === undefined) throw new Error('the transaction created nothing');
    return entity;
  };
  return {
    createAccount: (input) =>
      execute({
        cryptoCreateAccount: {
          key: { ed25519: input.publicKey },
          initialBalance: toLong(BigInt(Math.round(input.balanceHbar)) * TINYBARS_PER_HBAR),
        },
      }),
    createTopic: ({ submitKey, memo }) =>
      execute({
        consensusCreateTopic: {
          memo: memo ?? '',
          ...(submitKey === undefined ? {} : { submitKey: { ed25519: submitKey } }),
        },
      }),
  };
}

function signTransaction(body: proto.ITransactionBody, key: KeyObject, publicKey: Uint8Array): Uint8Array {
  const bodyBytes = proto.TransactionBody.encode(body).finish();
  const pair = { pubKeyPrefix: publicKey, ed25519: sign(null, bodyBytes, key) };
  const signedTransactionBytes = proto.SignedTransaction.encode({ bodyBytes, sigMap: { sigPair: [pair] } }).finish();
  return proto.Transaction.encode({ signedTransactionBytes }).finish();
}
