import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { BUNDLE_MAX_LENGTH, parseBundle, readBundle } from './bundle-parse.ts';
import { canonicalText } from './canonical-json.ts';
import { ProoflineError } from './errors.ts';
import { parseTrustDocument } from './trust-parse.ts';

const vectorFile = (name: string): string =>
  readFileSync(join(import.meta.dirname, '..', 'verifier', 'vectors', 'good-anchored', name), 'utf8');
const text = vectorFile('bundle.json');
const good = JSON.parse(text) as { readonly keys: readonly unknown[] };

function refusalOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof ProoflineError) return `${error.code} ${String(error.extra.path ?? '')}`.trim();
    return `threw ${String(error)}`;
  }
  return 'accepted';
}

/** The bundle with the value at a path replaced; `undefined` takes the member away. */
function withValue(path: string, value: unknown): Record<string, unknown> {
  const copy = structuredClone(good) as unknown as Record<string, unknown>;
  const steps = path.split('.');
  const last = steps.pop() as string;
  let at = copy;
  for (const step of steps) at = at[step] as Record<string, unknown>;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

describe('reading a bundle', () => {
  it('changes nothing of what it says', () => {
    expect(canonicalText(parseBundle(text))).toBe(canonicalText(good));
    expect(canonicalText(readBundle(good))).toBe(canonicalText(good));
  });

  it.each<[string, unknown, string]>([
    ['statement.digest.value', 'E3'.repeat(32), '$.statement.digest.value'],
    ['statement.digest.alg', 'md5', '$.statement.digest.alg'],
    ['statement.proof', 'proof-1', '$.statement.proof'],
    ['statement.receivedAt', '2026-11-23T08:00:00Z', '$.statement.receivedAt'],
    ['statement.receivedAt', '2026-02-30T08:00:00.000000Z', '$.statement.receivedAt'],
    ['statement.salt', 'AAAA', '$.statement.salt'],
    ['statement.key.version', 0, '$.statement.key.version'],
    ['statement.key.kid', 'seal@1', '$.statement.key.kid'],
    ['statement.reference', 'x', '$.statement.reference'],
    ['seal', 'a.b.c', '$.seal'],
    ['inclusion.origin', 'two words', '$.inclusion.origin'],
    ['inclusion.size', '9223372036854775808', '$.inclusion.size'],
    ['inclusion.path.1', 'short', '$.inclusion.path[1]'],
    ['checkpoint', 'no note', '$.checkpoint'],
    ['checkpoint', undefined, '$.inclusion'],
    ['timestamps.0.token', 'AA=', '$.timestamps[0].token'],
    ['timestamps.0.crls', [], '$.timestamps[0].crls'],
    ['timestamps', {}, '$.timestamps'],
    ['anchors.0.topicId', '0.0.01', '$.anchors[0].topicId'],
    ['anchors.0.sequenceNumber', '0', '$.anchors[0].sequenceNumber'],
    ['anchors.0.message', 'x'.repeat(101), '$.anchors[0].message'],
    ['anchors.0.consensusTimestamp', '1.5', '$.anchors[0].consensusTimestamp'],
    ['anchors.0.ledger', 'other', '$.anchors[0].ledger'],
    ['certificate', 'a.b', '$.certificate'],
    ['pending', ['anchor', 'anchor'], '$.pending'],
    ['pending', ['seal'], '$.pending[0]'],
    ['keys.0.jwk.kty', 'RSA', '$.keys[0].jwk.kty'],
    ['keys.0.alg', 'EdDSA', '$.keys[0].jwk'],
    ['keys.0.jwk.d', 'A'.repeat(43), '$.keys[0].jwk.d'],
    ['keys.1', good.keys[0], '$.keys'],
    ['type', 'proofline/bundle/v9', '$.type'],
  ])('refuses %s when it is %j, naming the place', (path, value, place) => {
    expect(refusalOf(() => parseBundle(JSON.stringify(withValue(path, value))))).toBe(`BUNDLE_MALFORMED ${place}`);
  });

  it('refuses a text beyond its limit before it is parsed', () => {
    expect(refusalOf(() => parseBundle(' '.repeat(BUNDLE_MAX_LENGTH + 1)))).toBe('BUNDLE_MALFORMED $');
    expect(refusalOf(() => parseBundle(text.padEnd(BUNDLE_MAX_LENGTH)))).toBe('accepted');
  });

  it('does not take what an object inherits for its members', () => {
    expect(refusalOf(() => readBundle(Object.create(good)))).toBe('BUNDLE_MALFORMED $.type');
    expect(refusalOf(() => parseBundle(text.replace('{', '{"__proto__":{},')))).toBe('BUNDLE_MALFORMED $.__proto__');
  });
});

describe('reading a trust file', () => {
  const trust = JSON.parse(vectorFile('trust.json')) as Record<string, unknown>;

  it('passes over what a newer instance may publish', () => {
    expect(parseTrustDocument(JSON.stringify({ ...trust, witnesses: [] }))).toEqual(trust);
  });

  it.each(['instance', 'origin', 'vkeys', 'jwks', 'roots', 'tsas', 'ledgers', 'log', 'verifier'])(
    'refuses one without %s',
    (member) => {
      const { [member]: _, ...rest } = trust;
      expect(refusalOf(() => parseTrustDocument(JSON.stringify(rest)))).toBe('TRUST_MALFORMED');
    },
  );

  it('refuses one that says a thing twice', () => {
    const twice = JSON.stringify(trust).replace('{', '{"origin":"other",');
    expect(refusalOf(() => parseTrustDocument(twice))).toBe('JSON_DUPLICATE_KEY');
  });
});
