/**
 * What each key signs, so that no signature of one kind can be got under a key of another: a seal's input names its
 * own key version, a certificate its type, a timestamp is a set of attributes, a checkpoint parses.
 */
import { fromBase64Url, utf8 } from '../../domain/bytes.ts';
import { canonicalText } from '../../domain/canonical-json.ts';
import { CERTIFICATE_TYP } from '../../domain/certificate.ts';
import { keyReference, sealHeader } from '../../domain/seal.ts';
import { type Checkpoint, parseCheckpointBody } from '../../log/checkpoint.ts';
import type { KeyVersion } from './key-version.ts';
import { SignerProblem } from './problem.ts';

const SET = 0x31;

/** Throws `value_refused` with the index of the first value that `key` does not sign. */
export function requireReadable(key: KeyVersion, values: readonly Uint8Array[]): void {
  const isReadable = readerOf(key);
  const index = values.findIndex((value) => !isReadable(value));
  if (index >= 0)
    throw new SignerProblem(
      'value_refused',
      `value ${index} is not what a key for ${key.purpose} signs as ${key.kid} version ${key.version}`,
      { index },
    );
}

/** The checkpoints of a request; throws `value_refused` with the index. */
export function readCheckpoints(values: readonly Uint8Array[]): Checkpoint[] {
  return values.map((value, index) => {
    try {
      return parseCheckpointBody(utf8.decode(value));
    } catch (cause) {
      throw new SignerProblem(
        'value_refused',
        `value ${index} is not a checkpoint: ${cause instanceof Error ? cause.message : 'unreadable'}`,
        { index },
      );
    }
  });
}

function readerOf(key: KeyVersion): (value: Uint8Array) => boolean {
  switch (key.purpose) {
    case 'seal': {
      const prefix = Buffer.from(`${sealHeader(key.kid, key.version)}.{`);
      return (value) => prefix.equals(value.subarray(0, prefix.length));
    }
    case 'certificate': {
      const header = canonicalText({ alg: key.alg, kid: keyReference(key.kid, key.version), typ: CERTIFICATE_TYP });
      const prefix = Buffer.from(`${Buffer.from(header).toString('base64url')}.`);
      return (value) =>
        prefix.equals(value.subarray(0, prefix.length)) &&
        fromBase64Url(utf8.decode(value.subarray(prefix.length))) !== undefined;
    }
    case 'tsa':
      return isWholeSet;
    case 'log-checkpoint':
    case 'tx-hedera':
      return () => false;
  }
}

/** A DER SET whose length is that of the value: signed attributes of a token (RFC 5652 §5.4). */
function isWholeSet(value: Uint8Array): boolean {
  const [tag, first, second, third] = value;
  if (tag !== SET || first === undefined) return false;
  if (first < 0x80) return value.length === 2 + first;
  if (first === 0x81) return value.length === 3 + (second ?? 0);
  return first === 0x82 && value.length === 4 + (second ?? 0) * 256 + (third ?? 0);
}
