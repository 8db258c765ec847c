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
import { isTokenAttributes, requirePdfAttributes } from './signed-attributes.ts';

/**
 * Throws `value_refused` with the index of the first value that `key` does not sign. A key for PDFs signs one set of
 * attributes a request, for the document that the context declares, else `blind_signing_refused`.
 */
export function requireReadable(
  key: KeyVersion,
  values: readonly Uint8Array[],
  context: Readonly<Record<string, string>>,
): void {
  if (key.purpose === 'pdf') {
    requirePdfAttributes(key, values, context);
    return;
  }
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
      return isTokenAttributes;
    default:
      return () => false;
  }
}
