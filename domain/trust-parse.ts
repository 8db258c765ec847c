/**
 * Reads a trust file (`/.well-known/proofline.json`, pinned). Members that this version does not know are passed
 * over, since a newer instance may publish more; those it knows must have their form.
 */
import { decimal, line, network, originName, publishedKey, topic } from './bundle-parse.ts';
import { ProoflineError } from './errors.ts';
import { bool, byMember, list, oneOf, openObject, type Read, ShapeFault, text } from './shape.ts';
import { parseStrictJson } from './strict-json.ts';
import type { TrustDocument, TrustedLedger } from './trust.ts';

export const TRUST_MAX_LENGTH = 4 * 1_048_576;

const pem = text('PEM certificates', 65_536, /-----BEGIN CERTIFICATE-----/);
const url = text('an absolute URL', 1_024, /^https?:\/\/[\x21-\x7e]+$/);

const trustShape: Read<TrustDocument> = openObject({
  instance: line(255),
  origin: originName,
  vkeys: list(openObject({ vkey: line(2_048), fromSize: decimal }, { toSize: decimal }), 64, 1),
  jwks: openObject({ keys: list(publishedKey, 4_096) }),
  roots: openObject({ signing: list(pem, 64), tsa: list(pem, 64) }),
  tsas: list(
    openObject({
      name: line(255),
      url,
      policies: list(text('an OID', 128, /^[0-2](?:\.(?:0|[1-9][0-9]*))+$/), 64),
      selfOperated: bool,
    }),
    64,
  ),
  ledgers: list(
    byMember<TrustedLedger>(
      'kind',
      (kind) => kind === 'hedera-contract/v1',
      openObject({ kind: oneOf('hedera-contract/v1'), network, contractId: topic }, { explorer: line(1_024) }),
      openObject(
        { kind: oneOf('hedera-hcs/v1'), network, topicId: topic, submitKey: text('a key', 2_048, /^[\x20-\x7e]*$/) },
        { explorer: line(1_024) },
      ),
    ),
    64,
  ),
  log: url,
  verifier: openObject({ source: line(1_024) }, { page: line(1_024) }),
});

/** Throws TRUST_MALFORMED with the path of the hostile value, or the codes of `parseStrictJson`. */
export function parseTrustDocument(source: string): TrustDocument {
  if (source.length > TRUST_MAX_LENGTH)
    throw new ProoflineError('TRUST_MALFORMED', `${source.length} characters, at most ${TRUST_MAX_LENGTH}`);
  try {
    return trustShape(parseStrictJson(source), '$');
  } catch (fault) {
    throw fault instanceof ShapeFault
      ? new ProoflineError('TRUST_MALFORMED', fault.message.slice(0, 300), { cause: fault })
      : fault;
  }
}
