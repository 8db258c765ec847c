/**
 * What the signer remembers of each log: the size and root of the last checkpoint it agreed to sign, on disk before
 * the signature exists. So a log restored from an old dump, or a second integrator, cannot get a signature over a
 * tree that contradicts the one the world has seen.
 */
import { readFile } from 'node:fs/promises';
import { equalBytes, fromBase64Url, toBase64Url } from '../../domain/bytes.ts';
import { writeDurably } from '../keys/write-durably.ts';
import { SignerProblem } from './problem.ts';

export interface TreeHead {
  readonly origin: string;
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

export interface LogMemory {
  last(origin: string): TreeHead | undefined;
  /** Accepts the heads in order or throws `log_rollback` and keeps what it had. Durable when it returns. */
  advance(heads: readonly TreeHead[]): Promise<void>;
}

const MAX_ORIGINS = 1_000;

/** Opens the memory kept in `file`. A file that does not parse stops the signer: an empty memory would forget. */
export async function openLogMemory(file: string): Promise<LogMemory> {
  let heads = await readHeads(file);
  // One write at a time, each deciding on the state the one before left.
  let turn: Promise<void> = Promise.resolve();

  async function advance(wanted: readonly TreeHead[]): Promise<void> {
    const next = new Map(heads);
    for (const [index, head] of wanted.entries()) {
      const last = next.get(head.origin);
      if (
        last !== undefined &&
        (head.size < last.size || (head.size === last.size && !equalBytes(head.root, last.root)))
      ) {
        const facts = { index, origin: head.origin, lastSize: last.size.toString(), lastRoot: toBase64Url(last.root) };
        throw new SignerProblem(
          'log_rollback',
          `size ${head.size} root ${toBase64Url(head.root)} after size ${last.size} root ${facts.lastRoot}`,
          facts,
        );
      }
      next.set(head.origin, head);
    }
    if (next.size > MAX_ORIGINS) throw new SignerProblem('policy_denied', `more than ${MAX_ORIGINS} logs`);
    if (wanted.every((head) => sameHead(heads.get(head.origin), head))) return;
    await writeDurably(
      file,
      `${JSON.stringify({ heads: [...next.values()].map((h) => ({ origin: h.origin, size: h.size.toString(), root: toBase64Url(h.root) })) })}\n`,
    );
    heads = next;
  }

  return {
    last: (origin) => heads.get(origin),
    advance(wanted) {
      const mine = turn.then(() => advance(wanted));
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}

async function readHeads(file: string): Promise<Map<string, TreeHead>> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw cause;
  });
  if (text === undefined) return new Map();
  const { heads } = JSON.parse(text) as { heads: { origin: string; size: string; root: string }[] };
  return new Map(
    heads.map((h) => {
      const root = fromBase64Url(h.root);
      if (root === undefined || root.length !== 32) throw new Error(`${file}: the root of ${h.origin} is not 32 bytes`);
      return [h.origin, { origin: h.origin, size: BigInt(h.size), root }];
    }),
  );
}

const sameHead = (a: TreeHead | undefined, b: TreeHead): boolean =>
  a !== undefined && a.size === b.size && equalBytes(a.root, b.root);
