/** A mirror's routes for transactions. */
import { isVisible, type MirrorContext } from './mirror-context.ts';
import { transactionDetailJson, transactionJson } from './mirror-json.ts';
import {
  type Answer,
  BadParameter,
  cut,
  linkAfter,
  type MirrorRequest,
  normaliseId,
  notFound,
  ok,
  parseTimestamp,
  readPage,
  readRange,
} from './mirror-query.ts';
import type { HandledTransaction } from './state.ts';
import { nanosToText } from './wire.ts';

/** Every copy that reached consensus, the one that counts first. */
export function transactionById({ context, params, url }: MirrorRequest): Answer {
  const match = /^(\d+\.\d+\.\d+)[-@](\d{1,19})[-.](\d{1,9})$/.exec(params.id ?? '');
  if (match === null) throw new BadParameter('transactionId');
  const nonce = url.searchParams.getAll('nonce').at(-1) ?? '0';
  const scheduled = url.searchParams.getAll('scheduled').at(-1) ?? 'false';
  if (!/^[0-9]{1,10}$/.test(nonce)) throw new BadParameter('nonce');
  if (scheduled !== 'true' && scheduled !== 'false') throw new BadParameter('scheduled');
  const id = `${match[1]}@${match[2]}.${(match[3] ?? '').padStart(9, '0')}`;
  const rows = (context.state.byId.get(id) ?? []).filter((row) => isVisible(context, row));
  return rows.length === 0 || Number(nonce) !== 0 || scheduled === 'true'
    ? notFound
    : ok({ transactions: rows.map(transactionDetailJson) });
}

export function listTransactions({ context, url }: MirrorRequest): Answer {
  return ok(transactionPage(context, url, readAccount(url)));
}

/** One page of the transactions that touch `account` (all without it), and the link to the next. */
export function transactionPage(
  context: MirrorContext,
  url: URL,
  account: string | undefined,
): { links: { next: string | null }; transactions: Record<string, unknown>[] } {
  const page = readPage(url, 'desc');
  const inTime = readRange(url, 'timestamp', parseTimestamp);
  const isWanted = readFilters(url);
  const rows = context.state.transactions.filter(
    (row) =>
      isVisible(context, row) &&
      inTime(row.consensusNanos) &&
      isWanted(row) &&
      (account === undefined || row.payer === account || row.transfers.some((part) => part.account === account)),
  );
  const shown = cut(rows, page);
  const last = shown.at(-1);
  const cursor = { name: 'timestamp', last: last === undefined ? undefined : nanosToText(last.consensusNanos) };
  return {
    links: { next: linkAfter(url, page, cursor, shown.length === rows.length) },
    transactions: shown.map(transactionJson),
  };
}

function readAccount({ searchParams }: URL): string | undefined {
  const text = searchParams.get('account.id');
  if (text === null) return undefined;
  const account = normaliseId(text.replace(/^eq:/, ''));
  if (account === undefined) throw new BadParameter('account.id');
  return account;
}

function readFilters({ searchParams }: URL): (row: HandledTransaction) => boolean {
  const result = searchParams.get('result');
  const type = searchParams.get('transactiontype')?.toUpperCase();
  if (result !== null && result !== 'success' && result !== 'fail') throw new BadParameter('result');
  return (row) =>
    (result === null || (row.status === 'SUCCESS') === (result === 'success')) &&
    (type === undefined || row.kind.toUpperCase() === type);
}
