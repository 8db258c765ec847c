import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import { localKeyPaths } from '../keys/ensure-local-keys.ts';
import { writeDurably } from '../keys/write-durably.ts';
import { createVersion, keystoreDir } from './ensure-signer-keys.ts';
import { REVISION_FILE } from './key-ring.ts';
import type { KeyVersion } from './key-version.ts';
import { readVersions, updateVersion } from './keystore.ts';
import type { Token } from './pkcs11/open-token.ts';
import { SignerProblem } from './problem.ts';

/** How long before its first use a new version is shown, and how long the one before still signs what names it. */
export interface Rotation {
  readonly announceMs?: number;
  readonly overlapMs?: number;
  /** Rotates only if this is the newest version; else the newest is returned as it is, so a repeat changes nothing. */
  readonly after?: number;
}

/** How long the version before signs on, unless told. */
export const OVERLAP_MS = 3_600_000;

/**
 * Makes the next version of a key. It signs from `announceMs` (default 0) on; every older version stops signing
 * `overlapMs` (default 1 h) after that, so that what was prepared under it can be finished. A running signer takes it
 * within a second. One rotation of a key at a time.
 */
export async function rotateKey(
  dir: string,
  kid: string,
  clock: Clock,
  rotation: Rotation = {},
  token?: Token,
): Promise<KeyVersion> {
  const keys = localKeyPaths(dir);
  const store = keystoreDir(keys);
  const versions = await readVersions(store, kid);
  const last = versions.at(-1);
  if (last === undefined) throw new SignerProblem('not_found', `no key ${JSON.stringify(kid.slice(0, 64))}`);
  if (rotation.after !== undefined && rotation.after !== last.version) return last;
  const activateAtMs = clock.nowMs() + (rotation.announceMs ?? 0);
  const next = await createVersion(
    keys,
    clock,
    {
      kid,
      version: last.version + 1,
      purpose: last.purpose,
      alg: last.alg,
      activateAtMs,
      ...(last.digests === undefined ? {} : { digests: last.digests }),
    },
    token,
  );
  // After a crash here both versions sign without end; repeating the rotation ends both.
  const notSignAfter = new Date(activateAtMs + (rotation.overlapMs ?? OVERLAP_MS)).toISOString();
  for (const old of versions) {
    if (old.notSignAfter === undefined || old.notSignAfter > notSignAfter)
      await updateVersion(store, kid, old.version, { notSignAfter });
  }
  await announce(store);
  return next;
}

/**
 * Takes a version out of use: `compromised` from `at` on (RFC 3339; the earliest ever said stays), from which its
 * signatures are worth nothing; `suspended` and `destroyed` now; `verify-only` is a retirement: it signs no more, and
 * what it signed stays good. A running signer takes it within a second.
 */
export async function withdrawVersion(
  dir: string,
  kid: string,
  version: number,
  state: 'suspended' | 'compromised' | 'destroyed' | 'verify-only',
  clock: Clock,
  at = new Date(clock.nowMs()).toISOString(),
): Promise<KeyVersion> {
  const store = keystoreDir(localKeyPaths(dir));
  const found = (await readVersions(store, kid)).find((v) => v.version === version);
  if (found === undefined) throw new SignerProblem('not_found', `${kid} has no version ${version}`);
  const change = changeOf(found, state, at);
  await updateVersion(store, kid, version, change);
  await announce(store);
  return { ...found, ...change };
}

function changeOf(
  found: KeyVersion,
  state: 'suspended' | 'compromised' | 'destroyed' | 'verify-only',
  at: string,
): Partial<KeyVersion> {
  if (state === 'verify-only') return { notSignAfter: earliest(found.notSignAfter, at), retireAt: at };
  // A key that was once given away is never merely suspended again.
  if (found.withdrawn === 'compromised' && state === 'suspended')
    throw new SignerProblem('policy_denied', `${found.kid} version ${found.version} is compromised`);
  if (state !== 'compromised') return { withdrawn: state };
  return { withdrawn: state, compromisedAt: earliest(found.compromisedAt, at) };
}

const earliest = (a: string | undefined, b: string): string =>
  a !== undefined && Date.parse(a) < Date.parse(b) ? a : b;

/** The signer looks for a new revision file, so it never reads a keystore that is half changed. */
const announce = (store: string): Promise<void> => writeDurably(join(store, REVISION_FILE), `${randomUUID()}\n`);
