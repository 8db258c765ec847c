import { describe, expect, it } from '@jest/globals';
import { toBase64Url, utf8 } from './bytes.ts';
import { canonicalBytes } from './canonical-json.ts';
import { anchorEntryDigest, CERTIFICATE_TYP } from './certificate.ts';
import { parseCertificate } from './certificate-parse.ts';
import { ProoflineError } from './errors.ts';
import { formatJws, jwsSigningInput } from './jws.ts';

const PAYLOAD = {
  type: 'proofline/certificate/v1',
  number: 'PL-1',
  tenant: '00000000-0000-4000-8000-000000000002',
  proof: '00000000-0000-4000-8000-000000000001',
  digest: { alg: 'sha-256', value: '00'.repeat(32) },
  leaf: '11'.repeat(32),
  log: { origin: 'log.example', index: '3', size: '7', root: 'A'.repeat(43) },
  timestamp: { tsa: 'tsa', tokenSha256: '22'.repeat(32), time: '2026-11-23T08:00:01.500000Z' },
  anchorPolicy: 'NONE',
  anchor: { none: 'none' },
  licence: { grant: 'g' },
  issuedAt: '2026-11-23T08:00:06.000000Z',
  links: { proof: 'https://a/p', bundle: 'https://a/b', verify: 'https://a/v' },
} as const;
const SIGNATURE = new Uint8Array(64).fill(9);

const write = (payload: Uint8Array, typ: string = CERTIFICATE_TYP): string =>
  formatJws(jwsSigningInput(typ, 'ES256', 'certificate', 3, payload), SIGNATURE);

function pathOf(jws: string): unknown {
  try {
    parseCertificate(jws);
  } catch (error) {
    return error instanceof ProoflineError ? (error.extra.path ?? error.code) : error;
  }
  return 'accepted';
}

describe('certificate', () => {
  it('reads back what was written', () => {
    const jws = write(canonicalBytes(PAYLOAD));
    const { kid, version, payload, signature, signingInput } = parseCertificate(jws);
    expect({ kid, version, payload, signature }).toEqual({
      kid: 'certificate',
      version: 3,
      payload: PAYLOAD,
      signature: SIGNATURE,
    });
    expect(jws).toBe(`${signingInput}.${toBase64Url(SIGNATURE)}`);
  });

  it('refuses a payload that is not canonical, though it says the same', () => {
    expect(pathOf(write(utf8.encode(JSON.stringify(PAYLOAD))))).toBe('$.certificate.payload');
    expect(pathOf(write(utf8.encode(`${utf8.decode(canonicalBytes(PAYLOAD))} `)))).toBe('$.certificate.payload');
  });

  it.each([
    ['an unknown member', { ...PAYLOAD, more: 1 }, '$.certificate.payload.more'],
    ['a missing member', { ...PAYLOAD, leaf: undefined }, '$.certificate.payload.leaf'],
    ['another type', { ...PAYLOAD, type: 'proofline/certificate/v2' }, '$.certificate.payload.type'],
    ['a number for a decimal', { ...PAYLOAD, log: { ...PAYLOAD.log, index: 3 } }, '$.certificate.payload.log.index'],
    ['half an anchor', { ...PAYLOAD, anchor: { network: 'x' } }, '$.certificate.payload.anchor.entrySha256'],
    [
      'a script for a link',
      { ...PAYLOAD, links: { ...PAYLOAD.links, proof: 'javascript:alert(1)' } },
      '$.certificate.payload.links.proof',
    ],
  ])('refuses %s', (_, payload, path) => {
    expect(pathOf(write(canonicalBytes(payload)))).toBe(path);
  });

  it('refuses another header, a further part and a signature of another length', () => {
    const jws = write(canonicalBytes(PAYLOAD));
    expect(pathOf(write(canonicalBytes(PAYLOAD), 'jwt'))).toBe('$.certificate.header.typ');
    expect(pathOf(`${jws}.AA`)).toBe('$.certificate');
    expect(pathOf(jws.slice(0, -4))).toBe('$.certificate.signature');
    expect(pathOf('..')).not.toBe('accepted');
  });

  it('names an anchor without its per-proof parts', () => {
    const entry = {
      ledger: 'hedera-hcs/v1',
      network: 'testnet',
      topicId: '0.0.1',
      sequenceNumber: '1',
      consensusTimestamp: '1.000000000',
      transactionId: '0.0.2@1.000000000',
      payer: '0.0.2',
      message: 'm',
      prevRunningHash: '',
      runningHash: '',
    } as const;
    const inclusion = { origin: 'log.example', index: '1', size: '2', path: [] };
    expect(anchorEntryDigest({ ...entry, checkpoint: 'note', inclusion })).toBe(anchorEntryDigest(entry));
    expect(anchorEntryDigest({ ...entry, transactionId: '0.0.2@1.000000001' })).not.toBe(anchorEntryDigest(entry));
  });
});
