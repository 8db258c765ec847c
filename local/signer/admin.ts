import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import { localKeyPaths } from '../keys/ensure-local-keys.ts';
import { writeDurably } from '../keys/write-durably.ts';
import { createVersion, keystoreDir, readPassphrase } from './ensure-signer-keys.ts';
import { REVISION_FILE } from './key-ring.ts';
import type { KeyVersion } from './key-version.ts';
import { loadKeystore, updateVersion } from './keystore.ts';

/** How long before its first use a new version is shown, and how long the one before still signs what names it. */
export interface Rotation {
  readonly announceMs?: number;
  readonly overlapMs?: number;
}

const HOUR_MS = 3_600_000;

/**
 * Makes the next version of a key. It signs from `announceMs` (default 0) on; every older version stops signing
 * `overlapMs` (default 1 h) after that, so that what was prepared under it can be finished. A running signer takes it
 * within a second. One rotation of a key at a time.
 */
export async function rotateKey(dir: string, kid: string, clock: Clock, rotation: Rotation = {}): Promise<KeyVersion> {
  const keys = localKeyPaths(dir);
  const store = keystoreDir(keys);
  const versions = await versionsOf(dir, kid);
  const last = versions.at(-1);
  if (last === undefined) throw new Error(`no key ${kid}`);
  const activateAtMs = clock.nowMs() + (rotation.announceMs ?? 0);
  const next = await createVersion(keys, clock, {
    kid,
    version: last.version + 1,
    purpose: last.purpose,
    alg: last.alg,
    activateAtMs,
  });
  // After a crash here both versions sign without end; repeating the rotation ends both.
  const notSignAfter = new Date(activateAtMs + (rotation.overlapMs ?? HOUR_MS)).toISOString();
  for (const old of versions) {
    if (old.notSignAfter === undefined || old.notSignAfter > notSignAfter)
      await updateVersion(store, kid, old.version, { notSignAfter });
  }
  await announce(store);
  return next;
}

/** Takes a version out of use at once; `compromised` bears the time from which its signatures are worth nothing. */
export async function withdrawVersion(
  dir: string,
  kid: string,
  version: number,
  withdrawn: 'suspended' | 'compromised' | 'destroyed',
  clock: Clock,
): Promise<void> {
  const store = keystoreDir(localKeyPaths(dir));
  const at = new Date(clock.nowMs()).toISOString();
  await updateVersion(store, kid, version, {
    withdrawn,
    ...(withdrawn === 'compromised' ? { compromisedAt: at } : {}),
  });
  await announce(store);
}

async function versionsOf(dir: string, kid: string): Promise<KeyVersion[]> {
  const keys = localKeyPaths(dir);
  const loaded = await loadKeystore(keystoreDir(keys), await readPassphrase(keys));
  return [...loaded.values()]
    .map((v) => v.meta)
    .filter((m) => m.kid === kid)
    .toSorted((a, b) => a.version - b.version);
}

/** The signer looks for a new revision file, so it never reads a keystore that is half changed. */
const announce = (store: string): Promise<void> => writeDurably(join(store, REVISION_FILE), `${randomUUID()}\n`);
