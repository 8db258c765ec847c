/** Texts that are no bundle, or say something in a second spelling. */
import { createHash } from 'node:crypto';
import { canonicalText } from '../../domain/canonical-json.ts';
import type { Scene } from './scene.ts';
import { every, type Vector } from './vector.ts';

export function malformedVectors({ anchor, good, trust }: Scene): Vector[] {
  const text = JSON.stringify(good);
  const malformed = (name: string, says: string, bundle: unknown): Vector => ({
    name: `malformed-${name}`,
    says,
    bundle,
    trust,
    overall: 'invalid',
    claims: every(['invalid', 'bundle-malformed']),
  });
  const { seal: _, ...withoutSeal } = good;
  const { checkpoint: __, ...withoutCheckpoint } = good;
  const noise = Buffer.concat(
    Array.from({ length: 32 }, (___, i) => createHash('sha256').update(`noise ${i}`).digest()),
  );
  return [
    malformed(
      'duplicate-member',
      'A member stands twice.',
      text.replace('{"type"', `{"seal":${canonicalText(good.seal)},"type"`),
    ),
    malformed(
      'duplicate-member-escaped',
      'A member stands twice, once in escapes.',
      text.replace('{"type"', '{"\\u0074ype":"proofline/bundle/v1","type"'),
    ),
    malformed('unknown-member', 'A member that no bundle has.', { ...good, note: 'hello' }),
    malformed('unknown-member-inside', 'A member that no inclusion has.', {
      ...good,
      inclusion: { ...good.inclusion, hint: 1 },
    }),
    malformed('missing-member', 'The seal is missing.', withoutSeal),
    malformed('inclusion-without-checkpoint', 'An inclusion without its checkpoint.', withoutCheckpoint),
    malformed('base64url-unused-bits', 'A salt whose unused bits are not zero.', {
      ...good,
      statement: { ...good.statement, salt: spoil(good.statement.salt) },
    }),
    malformed('base64url-padded', 'A padded hash.', {
      ...good,
      anchors: [{ ...anchor, prevRunningHash: `${anchor.prevRunningHash}=` }],
    }),
    malformed('base64-alphabet', 'A seal in the alphabet of plain base64.', {
      ...good,
      seal: `${good.seal.slice(0, -2)}+/`,
    }),
    malformed('hex-upper-case', 'A digest in capital letters.', {
      ...good,
      statement: { ...good.statement, digest: { alg: 'sha-256', value: good.statement.digest.value.toUpperCase() } },
    }),
    malformed('digest-length', 'A SHA-512 digest of 32 bytes.', {
      ...good,
      statement: { ...good.statement, digest: { alg: 'sha-512', value: good.statement.digest.value } },
    }),
    malformed('digest-algorithm', 'An algorithm that is none of ours.', {
      ...good,
      statement: { ...good.statement, digest: { alg: 'sha-1', value: 'a'.repeat(40) } },
    }),
    malformed('decimal-leading-zero', 'An index with a leading zero.', {
      ...good,
      inclusion: { ...good.inclusion, index: '03' },
    }),
    malformed('number-for-text', 'An index as a number.', { ...good, inclusion: { ...good.inclusion, index: 3 } }),
    malformed('path-too-long', 'A path of 65 hashes.', {
      ...good,
      inclusion: { ...good.inclusion, path: Array.from({ length: 65 }, () => 'A'.repeat(43)) },
    }),
    malformed('too-many-anchors', 'Seventeen anchors.', { ...good, anchors: Array.from({ length: 17 }, () => anchor) }),
    malformed('too-many-timestamps', 'Seventeen tokens.', {
      ...good,
      timestamps: Array.from({ length: 17 }, () => good.timestamps[0]),
    }),
    malformed('jwk-private', 'A key with its private half.', {
      ...good,
      keys: good.keys.map((key) => ({ ...key, jwk: { ...key.jwk, d: 'A'.repeat(43) } })),
    }),
    malformed('trailing-bytes', 'Text after the bundle.', `${text}\n{}`),
    malformed('byte-order-mark', 'A byte order mark before the bundle.', `\ufeff${text}`),
    malformed('cut-off', 'The bundle ends in the middle.', text.slice(0, text.length >> 1)),
    malformed('empty', 'Nothing at all.', ''),
    malformed('null', 'The JSON value null.', 'null'),
    malformed('array', 'A list of bundles.', [good]),
    malformed('other-type', 'A bundle of another type.', { ...good, type: 'proofline/bundle/v2' }),
    malformed('deep', 'A thousand brackets.', '['.repeat(1000)),
    malformed('lone-surrogate', 'Half of a surrogate pair.', text.replace('{"type"', '{"\\ud800":1,"type"')),
    malformed('large-number', 'A version beyond 2^53.', text.replace('"version":1', '"version":9007199254740993')),
    malformed('random-bytes', 'A kilobyte of noise.', noise),
  ];
}

/** Another spelling of the same bytes: the last of 22 characters carries four unused bits. */
function spoil(base64url: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(base64url.at(-1) ?? '');
  return base64url.slice(0, -1) + alphabet[last + 1];
}
