import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { exampleView, makePdfFixture, type PdfFixture } from '../../test/support/pdf-fixture.ts';
import type { PdfSignatureAlg } from './cms.ts';
import { loadFonts } from './fonts.ts';
import { renderCertificate } from './render-certificate.ts';
import { type PdfLevel, renewLta, signPdf } from './sign-pdf.ts';

const MAX_BLT_BYTES = 60 * 1024;

describe.each<PdfSignatureAlg>(['ES256', 'RS256', 'PS256'])('a PDF signed with %s', (alg) => {
  let fixture: PdfFixture;
  let base: Uint8Array;
  let levels: Readonly<Record<PdfLevel, Uint8Array>>;

  beforeAll(async () => {
    fixture = await makePdfFixture(alg);
    base = await renderCertificate(exampleView(), loadFonts());
    const signed = await signPdf(base, fixture.options);
    levels = { 'B-T': signed['B-T'] ?? base, 'B-LT': signed['B-LT'] ?? base, 'B-LTA': signed['B-LTA'] ?? base };
  });

  it('keeps every older level as a strict prefix of the newer one', async () => {
    const renewed = await renewLta(levels['B-LTA'], fixture.authority, {
      signedAt: new Date().toISOString(),
      roots: fixture.roots,
      fetchRevocation: fixture.fetchRevocation,
      nowMicros: () => BigInt(Date.now()) * 1000n,
    });
    const chain = [base, levels['B-T'], levels['B-LT'], levels['B-LTA'], renewed].map((bytes) => Buffer.from(bytes));
    chain.slice(1).forEach((newer, i) => {
      const older = chain[i] as Buffer;
      expect(newer.length).toBeGreaterThan(older.length);
      expect(newer.subarray(0, older.length - 0).equals(older)).toBe(true);
    });
  });

  it('is at most 60 KB at B-LT', () => {
    expect(levels['B-LT'].length).toBeLessThanOrEqual(MAX_BLT_BYTES);
  });

  it('has a signature that openssl takes for CAdES, and a token that openssl verifies', () => {
    const dir = mkdtempSync(join(tmpdir(), 'pdf-'));
    const at = (name: string, bytes: Uint8Array | string): string => {
      writeFileSync(join(dir, name), bytes);
      return join(dir, name);
    };
    const openssl = (...args: string[]): string =>
      execFileSync('sh', ['-c', 'exec openssl "$@" 2>&1', 'openssl', ...args], { encoding: 'utf8' });
    const pem = (der: Uint8Array): string =>
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
    try {
      const [first, second] = slotsOf(Buffer.from(levels['B-LTA']));
      const cms = at('cms.der', first?.der ?? '');
      const root = at('root.pem', pem(fixture.root.der));
      const content = at('content', first?.covered ?? '');
      expect(
        openssl(
          'cms',
          '-verify',
          '-cades',
          '-binary',
          '-inform',
          'DER',
          '-in',
          cms,
          '-content',
          content,
          '-CAfile',
          root,
          '-purpose',
          'any',
          '-out',
          '/dev/null',
        ),
      ).toContain('CAdES Verification successful');
      const tsaRoot = at('tsa.pem', pem(fixture.tsa.root.der));
      const issuer = at('issuer.pem', pem(fixture.tsa.issuer.der));
      const token = at('token.der', second?.der ?? '');
      const stamped = at('stamped', second?.covered ?? '');
      expect(
        openssl('ts', '-verify', '-token_in', '-in', token, '-data', stamped, '-CAfile', tsaRoot, '-untrusted', issuer),
      ).toContain('Verification: OK');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

/** DER and covered bytes of each signature, in the order of the file. */
function slotsOf(pdf: Buffer): { readonly der: Buffer; readonly covered: Buffer }[] {
  return [...pdf.toString('latin1').matchAll(/\/ByteRange \[0 (\d+) +(\d+) +(\d+) *\]/g)].map((match) => {
    const [end, next, rest] = match.slice(1).map(Number) as [number, number, number];
    const padded = Buffer.from(pdf.toString('latin1', end + 1, next - 1), 'hex');
    const der = padded.subarray(0, 4 + padded.readUInt16BE(2));
    return { der, covered: Buffer.concat([pdf.subarray(0, end), pdf.subarray(next, next + rest)]) };
  });
}
