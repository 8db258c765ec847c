/** A mirror's routes for accounts and balances, as of what it has imported. */
import { horizonMs, isVisible, type MirrorContext } from './mirror-context.ts';
import { keyJson } from './mirror-json.ts';
import {
  type Answer,
  BadParameter,
  cut,
  linkAfter,
  type MirrorRequest,
  normaliseId,
  notFound,
  ok,
  parseEntityNum,
  readPage,
  readRange,
} from './mirror-query.ts';
import { transactionPage } from './mirror-transactions.ts';
import { type Account, evmAddressOfAccount } from './state.ts';
import { nanosToText } from './wire.ts';

const EVM_ADDRESS = /^(?:0\.0\.|0x)?([0-9a-fA-F]{40})$/;
const RENEWAL_SECONDS = 7_776_000;

export function accountById({ context, params, url }: MirrorRequest): Answer {
  const account = findAccount(context, params.id ?? '');
  if (account === undefined) return notFound;
  const isWithTransactions = url.searchParams.get('transactions') !== 'false';
  const page = isWithTransactions
    ? transactionPage(context, url, account.id)
    : { transactions: [], links: { next: null } };
  return ok({ ...accountJson(context, account), ...page });
}

export function listAccounts({ context, url }: MirrorRequest): Answer {
  const { shown, next } = accountPage(context, url, 'asc');
  return ok({ accounts: shown.map((account) => accountJson(context, account)), links: { next } });
}

export function listBalances({ context, url }: MirrorRequest): Answer {
  const { shown, next } = accountPage(context, url, 'desc');
  return ok({
    balances: shown.map((account) => ({
      account: account.id,
      balance: Number(balanceAt(context, account)),
      tokens: [],
    })),
    links: { next },
    timestamp: horizonText(context),
  });
}

function accountPage(
  context: MirrorContext,
  url: URL,
  order: 'asc' | 'desc',
): { shown: readonly Account[]; next: string | null } {
  const page = readPage(url, order);
  const isWanted = readRange(url, 'account.id', parseEntityNum);
  const publicKey = url.searchParams.get('account.publickey')?.replace(/^0x/, '').toLowerCase();
  const rows = [...context.state.accounts.values()]
    .filter((account) => isVisible(context, { handledAtMs: account.createdAtMs }) && isWanted(numOf(account)))
    .filter((account) => publicKey === undefined || keyJson(account.key)?.key === publicKey)
    .sort((a, b) => Number(numOf(a) - numOf(b)));
  const shown = cut(rows, page);
  const cursor = { name: 'account.id', last: shown.at(-1)?.id };
  return { shown, next: linkAfter(url, page, cursor, shown.length === rows.length) };
}

const numOf = ({ id }: Account): bigint => parseEntityNum(id) ?? 0n;

/** By id, by number alone, or by the address in the EVM. */
function findAccount(context: MirrorContext, text: string): Account | undefined {
  const address = EVM_ADDRESS.exec(text)?.[1]?.toLowerCase();
  const id = address === undefined ? normaliseId(text) : undefined;
  if (address === undefined && id === undefined) throw new BadParameter('idOrAliasOrEvmAddress');
  const account =
    address === undefined
      ? context.state.accounts.get(id ?? '')
      : [...context.state.accounts.values()].find((one) => hex(evmAddressOfAccount(one)) === address);
  return account !== undefined && isVisible(context, { handledAtMs: account.createdAtMs }) ? account : undefined;
}

/** The ledger's balance without what this mirror has not imported yet. */
function balanceAt(context: MirrorContext, account: Account): bigint {
  let balance = account.balanceTinybars;
  const { transactions } = context.state;
  for (let i = transactions.length - 1; i >= 0; i--) {
    const row = transactions[i];
    if (row === undefined || isVisible(context, row)) break;
    for (const part of row.transfers) if (part.account === account.id) balance -= part.amount;
  }
  return balance;
}

function accountJson(context: MirrorContext, account: Account): Record<string, unknown> {
  const isGenesis = account.createdNanos === 0n;
  return {
    account: account.id,
    alias: null,
    auto_renew_period: isGenesis ? null : RENEWAL_SECONDS,
    balance: { balance: Number(balanceAt(context, account)), timestamp: horizonText(context), tokens: [] },
    created_timestamp: isGenesis ? null : nanosToText(account.createdNanos),
    decline_reward: false,
    deleted: false,
    ethereum_nonce: 0,
    evm_address: `0x${hex(evmAddressOfAccount(account))}`,
    expiry_timestamp: isGenesis ? null : nanosToText(account.createdNanos + BigInt(RENEWAL_SECONDS) * 1_000_000_000n),
    key: keyJson(account.key),
    max_automatic_token_associations: 0,
    memo: account.memo,
    pending_reward: 0,
    receiver_sig_required: false,
    stake_period_start: null,
    staked_account_id: null,
    staked_node_id: null,
  };
}

const horizonText = (context: MirrorContext): string =>
  nanosToText(BigInt(Math.floor(horizonMs(context))) * 1_000_000n);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
