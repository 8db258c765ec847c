import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseBundle } from '../domain/bundle-parse.ts';
import { fromBase64Url } from '../domain/bytes.ts';
import { parseTrustDocument } from '../domain/trust-parse.ts';
import { formatTlogProof } from '../log/tlog-proof.ts';
import { verifyReceipt } from './receipt.ts';

const read = (vector: string, file: string): string =>
  readFileSync(join(import.meta.dirname, 'vectors', vector, file), 'utf8');
const bundle = parseBundle(read('good-anchored', 'bundle.json'));
const trust = parseTrustDocument(read('good-anchored', 'trust.json'));
const { inclusion, checkpoint = '' } = bundle;
const path = (inclusion?.path ?? []).map((hash) => fromBase64Url(hash) as Uint8Array);
const receipt = formatTlogProof({ index: 3n, path, checkpoint });

describe('a receipt', () => {
  it('shows that statement and seal are in the log', async () => {
    expect(await verifyReceipt(receipt, bundle, trust)).toMatchObject({
      overall: 'valid',
      claims: { inclusion: { verdict: 'valid' }, checkpoint: { verdict: 'valid' } },
    });
  });

  it('is invalid for another statement', async () => {
    const other = { statement: { ...bundle.statement, receivedAt: '2026-11-22T08:00:00.000123Z' }, seal: bundle.seal };
    expect(await verifyReceipt(receipt, other, trust)).toMatchObject({
      overall: 'invalid',
      claims: { inclusion: { reason: 'not-included' } },
    });
  });

  it('is invalid under the keys of another instance', async () => {
    const stranger = parseTrustDocument(read('bad-wrong-trust', 'trust.json'));
    expect(await verifyReceipt(receipt, bundle, stranger)).toMatchObject({
      overall: 'invalid',
      claims: { inclusion: { verdict: 'unverified' } },
    });
  });

  it('is invalid when the log key did not sign for the size', async () => {
    const ended = parseTrustDocument(read('bad-checkpoint-log-key-window', 'trust.json'));
    expect(await verifyReceipt(receipt, bundle, ended)).toMatchObject({
      overall: 'invalid',
      claims: { checkpoint: { reason: 'log-key-outside-window' } },
    });
  });

  it('is invalid when it is no receipt', async () => {
    for (const text of ['', 'c2sp.org/tlog-proof@v1', receipt.slice(0, -1), `${receipt}x`])
      expect((await verifyReceipt(text, bundle, trust)).overall).toBe('invalid');
  });
});
