/**
 * What a system needs on the simulated ledger: an account that pays, a topic that only its submit key may write to.
 * Both are found again after a restart, by their keys.
 */
import type { HederaSim } from './start-hedera-sim.ts';
import type { LedgerState } from './state.ts';

export interface Provision {
  readonly payerAccountId: string;
  readonly topicId: string;
}

const PAYER_HBAR = 100_000;

/** Public keys: 32 bytes each, Ed25519. */
export function provision(
  sim: Pick<HederaSim, 'ledger' | 'treasury'>,
  keys: { readonly payer: Uint8Array; readonly submit: Uint8Array },
): Provision {
  const { state } = sim.ledger;
  return {
    payerAccountId:
      findAccount(state, keys.payer) ?? sim.treasury.createAccount({ publicKey: keys.payer, balanceHbar: PAYER_HBAR }),
    topicId:
      findTopic(state, keys.submit) ??
      sim.treasury.createTopic({ submitKey: keys.submit, memo: 'Proofline checkpoints' }),
  };
}

function findAccount(state: LedgerState, publicKey: Uint8Array): string | undefined {
  return [...state.accounts.values()].find(({ key }) => isKey(key.ed25519, publicKey))?.id;
}

function findTopic(state: LedgerState, submitKey: Uint8Array): string | undefined {
  return [...state.topics.values()].find((topic) => !topic.isDeleted && isKey(topic.submitKey?.ed25519, submitKey))?.id;
}

const isKey = (a: Uint8Array | null | undefined, b: Uint8Array): boolean => a != null && Buffer.from(a).equals(b);
