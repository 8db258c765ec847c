/**
 * A disclosure: reference and metadata of a proof with their salts, which the owner is given beside the bundle and may
 * show to whom he likes. The statement commits to each by a salted digest (`saltedDigest`).
 */
import { base64url } from './bundle-parse.ts';
import { ProoflineError } from './errors.ts';
import { object, type Read, ShapeFault, text } from './shape.ts';
import { SALT_LENGTH } from './statement.ts';
import { parseStrictJson } from './strict-json.ts';

/** Each value comes with its salt (16 bytes, base64url); either may be withheld. */
export interface Disclosure {
  readonly reference?: string;
  readonly referenceSalt?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly metadataSalt?: string;
}

/** UTF-16 units: 16 KB of metadata, the longest reference, and what escapes add. */
export const DISCLOSURE_MAX_LENGTH = 262_144;

const salt = base64url(SALT_LENGTH);
const metadata: Read<Readonly<Record<string, unknown>>> = (value, path) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ShapeFault(path, 'an object is expected');
  return value as Readonly<Record<string, unknown>>;
};
const shape: Read<Disclosure> = object(
  {},
  { reference: text('a reference', 4_096, /^/), referenceSalt: salt, metadata, metadataSalt: salt },
);

/** Throws DISCLOSURE_MALFORMED, for a value without its salt or a salt without its value too, or the codes of `parseStrictJson`. */
export function parseDisclosure(source: string): Disclosure {
  try {
    if (source.length > DISCLOSURE_MAX_LENGTH)
      throw new ShapeFault('$', `${source.length} characters, at most ${DISCLOSURE_MAX_LENGTH}`);
    const disclosure = shape(parseStrictJson(source), '$');
    for (const name of ['reference', 'metadata'] as const) {
      if ((disclosure[name] === undefined) !== (disclosure[`${name}Salt`] === undefined))
        throw new ShapeFault(`$.${name}`, 'value and salt come together');
    }
    return disclosure;
  } catch (fault) {
    throw fault instanceof ShapeFault
      ? new ProoflineError('DISCLOSURE_MALFORMED', fault.message.slice(0, 300), { cause: fault })
      : fault;
  }
}
