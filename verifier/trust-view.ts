/** Whose keys, roots and ledgers are believed: a pinned trust file, or, without one, what the bundle brings itself. */
import type { Bundle, PublishedKey } from '../domain/bundle.ts';
import { equalBytes, fromBase64Url, toBase64Url } from '../domain/bytes.ts';
import { parseInstant } from '../domain/time.ts';
import { BoundedMap } from '../domain/timestamp/cache.ts';
import type { TimestampVerdict } from '../domain/timestamp/verify-token.ts';
import type { TrustDocument } from '../domain/trust.ts';
import { createNoteKey, type NoteKey, parseVkey } from '../log/note.ts';

export interface LogKey {
  readonly key: NoteKey;
  readonly fromSize: bigint;
  /** Inclusive: the checkpoint at a rotation bears both signatures. */
  readonly toSize: bigint | undefined;
  /** Microseconds since the epoch; 0 when it is not known since when. */
  readonly compromisedAt: bigint | undefined;
}

export interface TrustView {
  readonly source: 'pinned' | 'own-keys';
  /** The one log that is believed; undefined without a trust file. */
  readonly origin: string | undefined;
  readonly logKeys: readonly LogKey[];
  /** What tells this set of log keys from others, for the cache. */
  readonly logKeysId: string;
  readonly keys: ReadonlyMap<string, PublishedKey>;
  readonly tsaRoots: readonly string[];
  /** Roots of the certificates that sign PDFs, PEM. */
  readonly signingRoots: readonly string[];
  readonly tsas: TrustDocument['tsas'];
  /** Undefined without a trust file: then every ledger is a stranger's. */
  readonly ledgers: TrustDocument['ledgers'] | undefined;
  /** Tokens judged under these roots, by all that was judged; a batch shares its token. */
  readonly tokens: BoundedMap<Promise<TimestampVerdict>>;
}

const MAX_TOKENS = 256;

const viewsOfText = new BoundedMap<TrustView>(8);

/** The view of a trust file, made once per content. Throws LogFormatError on a vkey that is none. */
export function viewTrust(trust: TrustDocument): TrustView {
  // A server reads its document anew for each request; what was judged under the same content is kept.
  return viewsOfText.getOrMake(JSON.stringify(trust), () => makeView(trust));
}

function makeView(trust: TrustDocument): TrustView {
  return {
    source: 'pinned',
    origin: trust.origin,
    logKeys: trust.vkeys.map(({ vkey, fromSize, toSize }) => {
      const key = parseVkey(vkey);
      return {
        key,
        fromSize: BigInt(fromSize),
        toSize: toSize === undefined ? undefined : BigInt(toSize),
        compromisedAt: findCompromise(trust.jwks.keys, key),
      };
    }),
    logKeysId: trust.vkeys.map(({ vkey }) => vkey).join(' '),
    keys: new Map(trust.jwks.keys.map((key) => [nameOf(key.purpose, key.kid, key.version), key])),
    tsaRoots: trust.roots.tsa,
    signingRoots: trust.roots.signing,
    tsas: trust.tsas,
    ledgers: trust.ledgers,
    tokens: new BoundedMap(MAX_TOKENS),
  };
}

/** What a bundle says of itself: believed for arithmetic, never for an overall `valid`. */
export function viewOwnKeys(bundle: Bundle): TrustView {
  const logKeys = ownLogKeys(bundle);
  return {
    source: 'own-keys',
    origin: undefined,
    logKeys,
    logKeysId: logKeys.map(({ key }) => toBase64Url(key.publicKey)).join(' '),
    keys: new Map(bundle.keys.map((key) => [nameOf(key.purpose, key.kid, key.version), key])),
    tsaRoots: [],
    signingRoots: [],
    tsas: [],
    ledgers: undefined,
    tokens: new BoundedMap(MAX_TOKENS),
  };
}

/** Nobody's keys: a PDF without a trust file brings none of its own. */
export const NO_KEYS: TrustView = {
  source: 'own-keys',
  origin: undefined,
  logKeys: [],
  logKeysId: '',
  keys: new Map(),
  tsaRoots: [],
  signingRoots: [],
  tsas: [],
  ledgers: undefined,
  tokens: new BoundedMap(1),
};

/** The log keys that the bundle brings, under the name of its log. */
export function ownLogKeys(bundle: Bundle): readonly LogKey[] {
  const origin = bundle.inclusion?.origin;
  if (origin === undefined) return [];
  return bundle.keys
    .filter((key) => key.purpose === 'log-checkpoint' && key.alg === 'EdDSA')
    .map((key) => ({
      key: createNoteKey(origin, fromBase64Url(key.jwk.x ?? '') ?? new Uint8Array(0)),
      fromSize: 0n,
      toSize: undefined,
      compromisedAt: key.state === 'compromised' ? compromiseOf(key) : undefined,
    }));
}

export type FoundKey =
  | { readonly fault: 'key-missing' }
  | { readonly fault?: undefined; readonly key: PublishedKey; readonly isPinned: boolean; readonly differs: boolean };

/** The key version of that name: the trust file's before the bundle's. */
export function findKey(
  view: TrustView,
  bundle: Bundle,
  purpose: PublishedKey['purpose'],
  kid: string,
  version: number,
): FoundKey {
  const trusted = view.keys.get(nameOf(purpose, kid, version));
  const own = bundle.keys.find((key) => key.purpose === purpose && key.kid === kid && key.version === version);
  const key = trusted ?? own;
  if (key === undefined) return { fault: 'key-missing' };
  const differs = trusted !== undefined && own !== undefined && !isSameKey(trusted, own);
  return { key, isPinned: view.source === 'pinned' && trusted !== undefined, differs };
}

/** Since when the key is compromised, microseconds since the epoch; 0 when that is not known. */
export function compromiseOf(key: PublishedKey): bigint | undefined {
  if (key.state !== 'compromised') return undefined;
  return (key.compromisedAt === undefined ? undefined : parseInstant(key.compromisedAt)) ?? 0n;
}

function findCompromise(keys: readonly PublishedKey[], log: NoteKey): bigint | undefined {
  const published = keys.find(
    (key) =>
      key.purpose === 'log-checkpoint' &&
      equalBytes(fromBase64Url(key.jwk.x ?? '') ?? new Uint8Array(0), log.publicKey),
  );
  return published === undefined ? undefined : compromiseOf(published);
}

function isSameKey(a: PublishedKey, b: PublishedKey): boolean {
  return a.alg === b.alg && a.jwk.x === b.jwk.x && a.jwk.y === b.jwk.y;
}

function nameOf(purpose: string, kid: string, version: number): string {
  return `${purpose} ${kid}@${version}`;
}
