import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import { type KeyState, type KeyVersion, type Purpose, primaryOf, stateOf } from './key-version.ts';
import { type LoadedVersion, loadKeystore } from './keystore.ts';
import type { Token } from './pkcs11/open-token.ts';
import { SignerProblem } from './problem.ts';

/** Changed last by whoever changed the keystore; a running signer looks at it at most this often. */
export const REVISION_FILE = '.revision';
const LOOK_EVERY_MS = 500;

export interface KeyRing {
  kids(): string[];
  purposeOf(kid: string): Purpose;
  /** Public description of a key as signer/1 gives it; `not_found` if there is none. */
  describe(kid: string): Record<string, unknown>;
  /** The version asked for, in one of `states` (active alone unless told), or the primary; `not_found` or `key_not_active`. */
  select(kid: string, version: number | undefined, states?: readonly KeyState[]): LoadedVersion;
  /**
   * Takes a changed keystore, looked at twice a second at most, or `now`. Throws if it does not open; the old one serves
   * on and the next look tries again.
   */
  refresh(now?: 'now'): Promise<void>;
}

/** Opens the keystore under `dir`. Throws when any file of it does not open. */
export async function openKeyRing(dir: string, passphrase: string, clock: Clock, token?: Token): Promise<KeyRing> {
  let seen = await revisionOf(dir);
  let loaded = await loadKeystore(dir, passphrase, new Map(), token);
  let byKid = groupByKid(loaded);
  let lookedAtMs = clock.nowMs();

  function versionsOf(kid: string): readonly [LoadedVersion, ...LoadedVersion[]] {
    const versions = byKid.get(kid);
    if (versions === undefined) throw new SignerProblem('not_found', `no key ${JSON.stringify(kid.slice(0, 64))}`);
    return versions;
  }

  return {
    kids: () => [...byKid.keys()].toSorted(),
    purposeOf: (kid) => versionsOf(kid)[0].meta.purpose,
    describe(kid) {
      const versions = versionsOf(kid);
      const primary = primaryOf(versions, clock);
      return {
        kid,
        purpose: versions[0].meta.purpose,
        ...(primary === undefined ? {} : { primaryVersion: primary.meta.version }),
        versions: versions.map(({ meta }, i) => describeVersion(meta, versions[i + 1]?.meta.version, clock)),
      };
    },
    select(kid, version, states = ['active']) {
      const versions = versionsOf(kid);
      const found =
        version === undefined ? primaryOf(versions, clock) : versions.find((v) => v.meta.version === version);
      if (found === undefined)
        throw new SignerProblem(
          version === undefined ? 'key_not_active' : 'not_found',
          `${kid} has no version ${version ?? 'that signs now'}`,
        );
      const state = stateOf(found.meta, clock);
      if (!states.includes(state))
        throw new SignerProblem('key_not_active', `${kid} version ${found.meta.version} is ${state}`, { state });
      return found;
    },
    async refresh(immediately) {
      const now = clock.nowMs();
      if (immediately === undefined && Math.abs(now - lookedAtMs) < LOOK_EVERY_MS) return;
      lookedAtMs = now;
      const revision = await revisionOf(dir);
      if (revision === seen) return;
      loaded = await loadKeystore(dir, passphrase, loaded, token);
      byKid = groupByKid(loaded);
      seen = revision;
    },
  };
}

function describeVersion(meta: KeyVersion, successor: number | undefined, clock: Clock): Record<string, unknown> {
  const { kid: _kid, purpose: _purpose, withdrawn: _withdrawn, ...rest } = meta;
  const [leaf] = meta.chain;
  return {
    ...rest,
    state: stateOf(meta, clock),
    ...(successor === undefined ? {} : { successor }),
    ...(leaf === undefined ? {} : { 'x5t#S256': thumbprintOf(leaf) }),
  };
}

/** SHA-256 of a certificate given as PEM (RFC 7515 §4.1.8). */
function thumbprintOf(pem: string): string {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  return createHash('sha256').update(der).digest('base64url');
}

function groupByKid(loaded: ReadonlyMap<string, LoadedVersion>): Map<string, [LoadedVersion, ...LoadedVersion[]]> {
  const out = new Map<string, [LoadedVersion, ...LoadedVersion[]]>();
  for (const version of loaded.values()) {
    const { kid, purpose } = version.meta;
    const same = out.get(kid);
    if (same === undefined) out.set(kid, [version]);
    else if (same[0].meta.purpose !== purpose) throw new Error(`versions of ${kid} have different purposes`);
    else same.push(version);
  }
  for (const versions of out.values()) versions.sort((a, b) => a.meta.version - b.meta.version);
  return out;
}

async function revisionOf(dir: string): Promise<string> {
  return stat(join(dir, REVISION_FILE), { bigint: true }).then(
    (s) => `${s.ino}:${s.mtimeNs}`,
    () => 'none',
  );
}
