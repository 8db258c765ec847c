/** Accounts: created, given another key, and moving hbar among each other. */
import type { Execution, Outcome } from './execution.ts';
import { evmAddressOf, isWellFormedKey } from './keys.ts';
import { accountText, toBig } from './wire.ts';

const EVM_ADDRESS_BYTES = 20;

export function createAccount({ state, transaction, moment, isSigned, credit }: Execution): Outcome {
  const { key, initialBalance, memo, alias } = transaction.body.cryptoCreateAccount ?? {};
  if (!key) return { status: 'KEY_REQUIRED' };
  if (!isWellFormedKey(key)) return { status: 'BAD_ENCODING' };
  const balance = toBig(initialBalance);
  if (balance < 0n) return { status: 'INVALID_INITIAL_BALANCE' };
  if (alias && alias.length > 0) {
    if (alias.length !== EVM_ADDRESS_BYTES || !key.ECDSASecp256k1) return { status: 'INVALID_ALIAS_KEY' };
    // Only who holds the key may take the address that follows from it.
    if (!Buffer.from(evmAddressOf(key.ECDSASecp256k1)).equals(alias) || !isSigned(key))
      return { status: 'INVALID_SIGNATURE' };
  }
  const payer = state.accounts.get(transaction.payer);
  if (payer === undefined || payer.balanceTinybars < balance) return { status: 'INSUFFICIENT_PAYER_BALANCE' };
  const id = `0.0.${state.nextEntityNum++}`;
  state.accounts.set(id, {
    id,
    createdNanos: moment.consensusNanos,
    createdAtMs: moment.handledAtMs,
    key,
    memo: memo ?? '',
    evmAddress: alias && alias.length > 0 ? alias : undefined,
    balanceTinybars: 0n,
  });
  credit(transaction.payer, -balance);
  credit(id, balance);
  return { status: 'SUCCESS', entity: id };
}

/** A new key has to sign beside the old one. */
export function updateAccount({ state, transaction, isSigned }: Execution): Outcome {
  const update = transaction.body.cryptoUpdateAccount ?? {};
  const account = state.accounts.get(accountText(update.accountIDToUpdate));
  if (account === undefined) return { status: 'INVALID_ACCOUNT_ID' };
  if (!isSigned(account.key)) return { status: 'INVALID_SIGNATURE' };
  if (update.key) {
    if (!isWellFormedKey(update.key)) return { status: 'BAD_ENCODING' };
    if (!isSigned(update.key)) return { status: 'INVALID_SIGNATURE' };
    account.key = update.key;
  }
  if (update.memo) account.memo = update.memo.value ?? '';
  return { status: 'SUCCESS', entity: account.id };
}

export function transfer({ state, transaction, isSigned, credit }: Execution): Outcome {
  const parts = (transaction.body.cryptoTransfer?.transfers?.accountAmounts ?? []).map((part) => ({
    id: accountText(part.accountID),
    amount: toBig(part.amount),
  }));
  if (parts.reduce((sum, part) => sum + part.amount, 0n) !== 0n) return { status: 'INVALID_ACCOUNT_AMOUNTS' };
  if (new Set(parts.map(({ id }) => id)).size !== parts.length)
    return { status: 'ACCOUNT_REPEATED_IN_ACCOUNT_AMOUNTS' };
  for (const { id, amount } of parts) {
    const account = state.accounts.get(id);
    if (account === undefined) return { status: 'INVALID_ACCOUNT_ID' };
    if (amount >= 0n) continue;
    if (!isSigned(account.key)) return { status: 'INVALID_SIGNATURE' };
    if (account.balanceTinybars + amount < 0n) return { status: 'INSUFFICIENT_ACCOUNT_BALANCE' };
  }
  for (const { id, amount } of parts) credit(id, amount);
  return { status: 'SUCCESS' };
}
