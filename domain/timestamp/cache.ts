/**
 * What verification may remember: parsed certificates and CRLs, imported keys, and whether one key verifies one signed
 * object. These are facts about bytes, keyed by SHA-256 of those bytes, so they hold under every trust setting and at
 * every time. Bounded; the entry used longest ago goes first.
 */
import type { Certificate } from './certificate.ts';
import type { Crl } from './crl.ts';

export interface VerificationCache {
  readonly certificates: BoundedMap<Certificate>;
  readonly crls: BoundedMap<Crl>;
  readonly keys: BoundedMap<Promise<CryptoKey | undefined>>;
  readonly signatures: BoundedMap<Promise<boolean>>;
  /** DER blocks of a PEM text. */
  readonly pem: BoundedMap<readonly Uint8Array[]>;
}

/** `max` entries of each kind. */
export function createVerificationCache(max = 512): VerificationCache {
  return {
    certificates: new BoundedMap(max),
    crls: new BoundedMap(Math.min(max, 64)),
    keys: new BoundedMap(max),
    signatures: new BoundedMap(max),
    pem: new BoundedMap(Math.min(max, 64)),
  };
}

export class BoundedMap<Value> {
  readonly #entries = new Map<string, Value>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value under `key`, made and kept if it is not there. A `make` that throws keeps nothing. */
  getOrMake(key: string, make: () => Value): Value {
    const held = this.#entries.get(key);
    if (held !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, held);
      return held;
    }
    const made = make();
    this.#entries.set(key, made);
    if (this.#entries.size > this.#max) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    return made;
  }
}
