/**
 * The ledger's memory across restarts: one JSON line for its birth, then one per transaction that reached consensus,
 * in order, with its signed bytes. Reading it back handles the same transactions at the same instants, so sequence
 * numbers and running hashes go on as if nothing had happened. A last line torn by a crash is cut off.
 */
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { Status } from './wire.ts';

export interface Birth {
  /** PKCS #8 PEM of the treasury's Ed25519 key: a key of this simulation only. */
  readonly treasuryKey: string;
  readonly startedAtMs: number;
}

export interface JournalEntry {
  readonly consensusNanos: bigint;
  readonly status: Status;
  readonly signedBytes: Uint8Array;
}

export interface Journal {
  readonly birth: Birth;
  readonly entries: readonly JournalEntry[];
  append(entry: JournalEntry): void;
  /** Forgets every entry, not the birth. */
  clear(): void;
}

/** In memory only, when there is no folder. */
export function openJournal(folder: string | undefined, newBirth: () => Birth): Journal {
  if (folder === undefined) return { birth: newBirth(), entries: [], append: () => undefined, clear: () => undefined };
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'ledger.ndjson');
  const lines = existsSync(file) ? readWholeLines(file) : [];
  const [first, ...rest] = lines;
  const birth = first === undefined ? newBirth() : (JSON.parse(first) as Birth);
  if (first === undefined) {
    appendFileSync(file, `${JSON.stringify(birth)}\n`, { mode: 0o600 });
    chmodSync(file, 0o600);
  }
  return {
    birth,
    entries: rest.map(parseEntry),
    append(entry) {
      const { consensusNanos, status, signedBytes } = entry;
      const line = { at: consensusNanos.toString(), status, tx: Buffer.from(signedBytes).toString('base64') };
      appendFileSync(file, `${JSON.stringify(line)}\n`);
    },
    clear: () => truncateSync(file, Buffer.byteLength(`${JSON.stringify(birth)}\n`)),
  };
}

function readWholeLines(file: string): string[] {
  const bytes = readFileSync(file);
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end < bytes.length) truncateSync(file, end);
  return bytes
    .subarray(0, end)
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '');
}

function parseEntry(line: string): JournalEntry {
  const { at, status, tx } = JSON.parse(line) as { at: string; status: Status; tx: string };
  return { consensusNanos: BigInt(at), status, signedBytes: Buffer.from(tx, 'base64') };
}
