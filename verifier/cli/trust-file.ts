import { join } from 'node:path';
import type { TrustDocument } from '../../domain/trust.ts';
import { parseTrustDocument, TRUST_MAX_LENGTH } from '../../domain/trust-parse.ts';
import { readTextIfThere } from './files.ts';

export interface TrustFile {
  readonly path: string;
  readonly trust: TrustDocument;
}

/** Left by `npm start` and the demo. */
export const DEFAULT_TRUST_FILE = join('.proofline', 'trust.json');

/** The trust file named, or the default one if it is there. Throws when the one named is not, or is malformed. */
export async function readTrustFile(named: string | undefined): Promise<TrustFile | undefined> {
  const path = named ?? DEFAULT_TRUST_FILE;
  const text = await readTextIfThere(path, TRUST_MAX_LENGTH);
  if (text !== undefined) return { path, trust: parseTrustDocument(text) };
  if (named !== undefined) throw new Error(`${named}: there is no such trust file`);
  return undefined;
}
