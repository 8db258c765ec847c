import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Digest } from '../domain/digest.ts';
import { parseTrustDocument } from '../domain/trust-parse.ts';
import { verifyPdf } from './pdf/verify-pdf.ts';
import type { ClaimResult } from './verdict.ts';
import { verifyBundle } from './verify.ts';

const FOLDER = join(import.meta.dirname, 'vectors');
const HASH_NAMES = { 'sha-256': 'sha256', 'sha-384': 'sha384', 'sha-512': 'sha512' } as const;

interface Expected {
  readonly says: string;
  readonly now: string;
  readonly overall: string;
  readonly claims: Readonly<Record<string, { readonly verdict: string; readonly reason: string }>>;
}

const NAMES = readdirSync(FOLDER, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const isPdf = (name: string): boolean => existsSync(join(FOLDER, name, 'certificate.pdf'));

describe.each(NAMES.filter((name) => !isPdf(name)))('vector %s', (name) => {
  const at = (file: string): string => join(FOLDER, name, file);
  const expected = JSON.parse(readFileSync(at('expected.json'), 'utf8')) as Expected;

  it(`gives the expected verdicts: ${expected.says}`, async () => {
    const bytes = new Uint8Array(readFileSync(at('bundle.json')));
    const digest = existsSync(at('file')) ? digestOf(readFileSync(at('file')), bytes) : undefined;
    const trust = existsSync(at('trust.json')) ? parseTrustDocument(readFileSync(at('trust.json'), 'utf8')) : undefined;
    const result = await verifyBundle(bytes, {
      nowMs: Date.parse(expected.now),
      ...(trust === undefined ? {} : { trust }),
      ...(digest === undefined ? {} : { digest }),
    });
    const claims = Object.fromEntries(
      Object.entries<ClaimResult>(result.claims).map(([claim, { verdict, reason }]) => [claim, { verdict, reason }]),
    );
    expect({ overall: result.overall, claims }).toEqual({ overall: expected.overall, claims: expected.claims });
    expect(result.trust).toBe(trust === undefined ? 'own-keys' : 'pinned');
    expect(result.consulted).toEqual({ ledger: false });
  });
});

describe.each(NAMES.filter(isPdf))('vector %s', (name) => {
  const at = (file: string): string => join(FOLDER, name, file);
  const expected = JSON.parse(readFileSync(at('expected.json'), 'utf8')) as Expected & { readonly level?: string };

  it(`gives the expected verdicts: ${expected.says}`, async () => {
    const trust = existsSync(at('trust.json')) ? parseTrustDocument(readFileSync(at('trust.json'), 'utf8')) : undefined;
    const result = await verifyPdf(new Uint8Array(readFileSync(at('certificate.pdf'))), {
      nowMs: Date.parse(expected.now),
      ...(trust === undefined ? {} : { trust }),
      ...(existsSync(at('bundle.json')) ? { bundle: readFileSync(at('bundle.json'), 'utf8') } : {}),
    });
    const claims = Object.fromEntries(
      Object.entries<ClaimResult>(result.claims).map(([claim, { verdict, reason }]) => [claim, { verdict, reason }]),
    );
    const { overall, level } = result;
    expect({ overall, level, claims }).toEqual({
      overall: expected.overall,
      level: expected.level,
      claims: expected.claims,
    });
  });
});

/** The digest of the file under the algorithm that the statement names, as the command line takes it. */
function digestOf(file: Uint8Array, bundle: Uint8Array): Digest {
  const { statement } = JSON.parse(new TextDecoder().decode(bundle)) as { statement: { digest: Digest } };
  const { alg } = statement.digest;
  return { alg, value: createHash(HASH_NAMES[alg]).update(file).digest('hex') };
}
