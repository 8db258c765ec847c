/** What mirror routes share: answers, pages and ranges out of a query string, and the link to the next page. */
import { formatEntityId, parseEntityId } from '../../domain/ledger/entity-id.ts';
import type { MirrorContext } from './mirror-context.ts';

const DEFAULT_LIMIT = 25;
const MAX_LIMIT = 100;

export interface MirrorRequest {
  readonly context: MirrorContext;
  /** By the names in the route's pattern. */
  readonly params: Readonly<Record<string, string>>;
  readonly url: URL;
  readonly body: Uint8Array;
}

export type Answer = { readonly status: number; readonly body: Record<string, unknown> };

export const ok = (body: Record<string, unknown>): Answer => ({ status: 200, body });
export const problem = (status: number, message: string): Answer => ({
  status,
  body: { _status: { messages: [{ message }] } },
});
export const notFound: Answer = problem(404, 'Not found');

/** A parameter that does not parse; the router answers 400 with its name. */
export class BadParameter extends Error {
  constructor(name: string) {
    super(`Invalid parameter: ${name}`);
  }
}

export interface Page {
  readonly limit: number;
  readonly isDescending: boolean;
}

export function readPage({ searchParams }: URL, defaultOrder: 'asc' | 'desc'): Page {
  const limit = searchParams.get('limit') ?? String(DEFAULT_LIMIT);
  const order = searchParams.get('order') ?? defaultOrder;
  if (!/^[1-9][0-9]{0,8}$/.test(limit)) throw new BadParameter('limit');
  if (order !== 'asc' && order !== 'desc') throw new BadParameter('order');
  return { limit: Math.min(Number(limit), MAX_LIMIT), isDescending: order === 'desc' };
}

/** The first rows of the page, out of rows in ascending order. */
export function cut<T>(rows: readonly T[], { limit, isDescending }: Page): readonly T[] {
  return isDescending ? rows.slice(-limit).reverse() : rows.slice(0, limit);
}

/** Whether a value passes every `name=op:bound` of the query; ids of entities may also be unequal (`ne`). */
export function readRange(
  { searchParams }: URL,
  name: string,
  parse: (text: string) => bigint | undefined,
): (value: bigint) => boolean {
  const tests = searchParams.getAll(name).map((text) => {
    const [op, bound] = text.includes(':') ? (text.split(':', 2) as [string, string]) : ['eq', text];
    const limit = parse(bound);
    const compare: Record<string, (value: bigint, limit: bigint) => boolean> = {
      eq: (value, other) => value === other,
      ne: (value, other) => value !== other,
      gt: (value, other) => value > other,
      gte: (value, other) => value >= other,
      lt: (value, other) => value < other,
      lte: (value, other) => value <= other,
    };
    const test = Object.hasOwn(compare, op) ? compare[op] : undefined;
    const isOffered = op !== 'ne' || name.endsWith('.id');
    if (limit === undefined || test === undefined || !isOffered) throw new BadParameter(name);
    return (value: bigint) => test(value, limit);
  });
  return (value) => tests.every((test) => test(value));
}

export const parseInteger = (text: string): bigint | undefined =>
  /^[0-9]{1,18}$/.test(text) ? BigInt(text) : undefined;

export function parseTimestamp(text: string): bigint | undefined {
  const match = /^([0-9]{1,10})(?:\.([0-9]{1,9}))?$/.exec(text);
  return match === null ? undefined : BigInt(match[1] ?? 0) * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}

/** `8`, `0.8` and `0.0.8` are one account; undefined for what is no id. */
export function normaliseId(text: string): string | undefined {
  const parts = text.split('.');
  if (parts.length > 3) return undefined;
  const id = parseEntityId([...Array.from({ length: 3 - parts.length }, () => '0'), ...parts].join('.'));
  return id === undefined ? undefined : formatEntityId(id);
}

/** The number of an entity, for ranges over ids. */
export const parseEntityNum = (text: string): bigint | undefined => {
  const id = normaliseId(text);
  return id === undefined ? undefined : BigInt(id.split('.')[2] ?? 0);
};

/** The same request, from the last row shown on; null when nothing is left. */
export function linkAfter(
  url: URL,
  page: Page,
  cursor: { readonly name: string; readonly last: string | undefined },
  isComplete: boolean,
): string | null {
  if (isComplete || cursor.last === undefined) return null;
  const params = new URLSearchParams(url.searchParams);
  const passed = page.isDescending ? /^lte?:/ : /^gte?:/;
  const kept = params.getAll(cursor.name).filter((text) => !passed.test(text));
  params.delete(cursor.name);
  for (const text of kept) params.append(cursor.name, text);
  params.set('limit', String(page.limit));
  params.set('order', page.isDescending ? 'desc' : 'asc');
  params.append(cursor.name, `${page.isDescending ? 'lt' : 'gt'}:${cursor.last}`);
  return `${url.pathname}?${params.toString().replaceAll('%3A', ':')}`;
}
