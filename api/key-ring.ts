/**
 * Authentication by API key, with a memory of a second: under load each key costs one query a second, and a
 * revocation acts within that second (a submission checks its key again in the transaction that accepts it).
 */
import { hash } from 'node:crypto';
import { hashApiKey, isApiKey } from '../domain/api-key.ts';
import type { Clock } from '../domain/clock.ts';
import { authenticateKey, type BearerKey } from '../store/api-keys.ts';
import type { Db } from '../store/pool.ts';

const MEMORY_MS = 1_000;
const MAX_REMEMBERED = 10_000;

export interface KeyRing {
  /** The key's bearer; undefined for anything that is not a live key. Throws STORE_UNAVAILABLE. */
  authenticate(key: string): Promise<BearerKey | undefined>;
}

export function createKeyRing(db: Db, clock: Clock, memoryMs = MEMORY_MS): KeyRing {
  const known = new Map<string, { readonly untilMs: number; readonly bearer: Promise<BearerKey | undefined> }>();
  return {
    async authenticate(key) {
      // Every request comes here, mostly with a key that is remembered: it is hashed natively, and its form is looked at only where it is not.
      const name = hash('sha256', key, 'hex');
      const nowMs = clock.nowMs();
      const remembered = known.get(name);
      if (remembered !== undefined && remembered.untilMs > nowMs) return remembered.bearer;
      if (!isApiKey(key)) return undefined;
      const bearer = authenticateKey(db, hashApiKey(key), clock.nowMicros());
      if (known.size >= MAX_REMEMBERED) known.clear();
      known.set(name, { untilMs: nowMs + memoryMs, bearer });
      try {
        const found = await bearer;
        // Only live keys are worth remembering.
        if (found === undefined) known.delete(name);
        return found;
      } catch (error) {
        known.delete(name);
        throw error;
      }
    },
  };
}
