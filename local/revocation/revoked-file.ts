/** What a dev root has revoked: `revoked.json` beside its certificate. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ListedRoot, LocalKeys, PairFiles } from '../keys/ensure-local-keys.ts';
import { writeDurably } from '../keys/write-durably.ts';

/** CRLReason (RFC 5280 §5.3.1): after `superseded` earlier signatures stand, after `keyCompromise` none do. */
export const REVOCATION_REASONS = { keyCompromise: 1, superseded: 4, cessationOfOperation: 5 } as const;
export type RevocationReason = keyof typeof REVOCATION_REASONS;

export interface RevokedEntry {
  /** Hex, as it stands in the certificate. */
  readonly serial: string;
  /** RFC 3339. */
  readonly at: string;
  readonly reason: RevocationReason;
}

export function rootFiles(keys: LocalKeys, root: ListedRoot): PairFiles {
  return { signing: keys.signingRoot, tsa: keys.tsaRoot, 'tsa-second': keys.tsaSecond.root }[root];
}

const fileOf = (keys: LocalKeys, root: ListedRoot): string =>
  join(dirname(rootFiles(keys, root).certFile), 'revoked.json');

export async function readRevoked(keys: LocalKeys, root: ListedRoot): Promise<readonly RevokedEntry[]> {
  try {
    return JSON.parse(await readFile(fileOf(keys, root), 'utf8')) as RevokedEntry[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Puts a certificate (PEM) of this root on its list; one that stands there keeps its time. */
export async function revokeCertificate(
  keys: LocalKeys,
  root: ListedRoot,
  certificate: string,
  { reason, at }: { readonly reason: RevocationReason; readonly at: string },
): Promise<void> {
  const serial = new X509Certificate(certificate).serialNumber.toLowerCase();
  const entries = await readRevoked(keys, root);
  if (entries.some((entry) => entry.serial === serial)) return;
  await writeDurably(fileOf(keys, root), `${JSON.stringify([...entries, { serial, at, reason }], undefined, 2)}\n`);
}
