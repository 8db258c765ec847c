/**
 * Record blocks, which close every two seconds, empty or not. A block's hash covers its number, its transactions, and
 * through the newest earlier block that had any, every transaction before: two mirrors with the same hash show the same
 * history. `previous_hash` is the hash of the block before.
 */
import { createHash } from 'node:crypto';
import { horizonMs, type MirrorContext } from './mirror-context.ts';
import {
  type Answer,
  BadParameter,
  linkAfter,
  type MirrorRequest,
  notFound,
  ok,
  parseInteger,
  parseTimestamp,
  readPage,
  readRange,
} from './mirror-query.ts';
import type { HandledTransaction } from './state.ts';
import { nanosToText } from './wire.ts';

const BLOCK_MS = 2_000;
const BLOCK_NANOS = 2_000_000_000n;
const NO_HASH = '00'.repeat(48);
const EMPTY_BLOOM = `0x${'00'.repeat(256)}`;

export function listBlocks({ context, url }: MirrorRequest): Answer {
  const page = readPage(url, 'desc');
  const isWanted = readRange(url, 'block.number', parseInteger);
  const inTime = readRange(url, 'timestamp', parseTimestamp);
  const newest = newestBlock(context);
  const step = page.isDescending ? -1 : 1;
  const numbers: number[] = [];
  let isComplete = true;
  for (let number = page.isDescending ? newest : 0; number >= 0 && number <= newest; number += step) {
    if (!isWanted(BigInt(number)) || !inTime(startOf(context, number))) continue;
    if (numbers.length === page.limit) {
      isComplete = false;
      break;
    }
    numbers.push(number);
  }
  const cursor = { name: 'block.number', last: numbers.at(-1)?.toString() };
  return ok({
    blocks: numbers.map((number) => blockJson(context, number)),
    links: { next: linkAfter(url, page, cursor, isComplete) },
  });
}

/** By number or by hash. */
export function blockById({ context, params }: MirrorRequest): Answer {
  const text = params.hashOrNumber ?? '';
  const newest = newestBlock(context);
  const hash = /^(?:0x)?([0-9a-f]{96})$/i.exec(text)?.[1]?.toLowerCase();
  if (hash === undefined && !/^[0-9]{1,10}$/.test(text)) throw new BadParameter('hashOrNumber');
  const number = hash === undefined ? Number(text) : findByHash(context, hash, newest);
  return number === undefined || number > newest ? notFound : ok(blockJson(context, number));
}

function findByHash(context: MirrorContext, hash: string, newest: number): number | undefined {
  for (let number = newest; number >= 0; number--) if (blockHash(context, number) === hash) return number;
  return undefined;
}

/** The number of the newest closed block that this mirror has, or -1. */
export function newestBlock(context: MirrorContext): number {
  return Math.floor((horizonMs(context) - birthMs(context)) / BLOCK_MS) - 1;
}

/** The block that a consensus time lies in. */
export function blockNumberAt(context: MirrorContext, consensusNanos: bigint): number {
  return Number((consensusNanos - startOf(context, 0)) / BLOCK_NANOS);
}

export function blockHash(context: MirrorContext, number: number): string {
  if (number < 0) return NO_HASH;
  const before = sealUpTo(context, number);
  return before?.number === number ? before.hash : digest(number, before?.hash ?? NO_HASH, []);
}

const birthMs = ({ bornAtMs }: MirrorContext): number => Math.floor(bornAtMs / 1_000) * 1_000;
const startOf = (context: MirrorContext, number: number): bigint =>
  BigInt(birthMs(context)) * 1_000_000n + BigInt(number) * BLOCK_NANOS;

interface Chain {
  /** Blocks with transactions, in order. */
  readonly sealed: { readonly number: number; readonly hash: string }[];
  /** Index of the first transaction that no sealed block holds. */
  next: number;
}

/** One per history, shared by all mirrors of a network. */
const chains = new WeakMap<readonly HandledTransaction[], Chain>();

/** The newest block with transactions that is `number` or lies before it; `number` must be closed. */
function sealUpTo(context: MirrorContext, number: number): { number: number; hash: string } | undefined {
  const { transactions } = context.state;
  const chain = chains.get(transactions) ?? { sealed: [], next: 0 };
  chains.set(transactions, chain);
  for (;;) {
    const first = transactions[chain.next];
    const at = first === undefined ? undefined : blockNumberAt(context, first.consensusNanos);
    if (at === undefined || at > number) break;
    const inside: HandledTransaction[] = [];
    for (let row = first; row !== undefined && blockNumberAt(context, row.consensusNanos) === at; ) {
      inside.push(row);
      row = transactions[++chain.next];
    }
    chain.sealed.push({ number: at, hash: digest(at, chain.sealed.at(-1)?.hash ?? NO_HASH, inside) });
  }
  for (let i = chain.sealed.length - 1; i >= 0; i--) {
    const block = chain.sealed[i];
    if (block !== undefined && block.number <= number) return block;
  }
  return undefined;
}

function digest(number: number, previous: string, transactions: readonly HandledTransaction[]): string {
  const hash = createHash('sha384').update(`block ${number} after ${previous}`);
  for (const { hash: transactionHash, status } of transactions) hash.update(transactionHash).update(status);
  return hash.digest('hex');
}

function blockJson(context: MirrorContext, number: number): Record<string, unknown> {
  const from = startOf(context, number);
  const to = from + BLOCK_NANOS - 1n;
  const inside = context.state.transactions.filter((row) => row.consensusNanos >= from && row.consensusNanos <= to);
  return {
    count: inside.length,
    gas_used: Number(inside.reduce((sum, { contract }) => sum + (contract?.result.gasUsed ?? 0n), 0n)),
    hapi_version: '0.75.0',
    hash: `0x${blockHash(context, number)}`,
    logs_bloom: EMPTY_BLOOM,
    name: `${new Date(Number(from / 1_000_000n)).toISOString().replaceAll(':', '_')}.rcd.gz`,
    number,
    previous_hash: `0x${blockHash(context, number - 1)}`,
    size: null,
    timestamp: { from: nanosToText(from), to: nanosToText(to) },
  };
}
