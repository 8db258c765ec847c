/** The authority's key at the signer, followed through its rotations: the version that signs, with its certificate. */
import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { openRemoteKey, type RemoteKey, type SignWithOptions } from '../signer/sign-with.ts';
import type { TsaAuthority, TsaIdentity } from './answer-query.ts';

export interface AuthorityKey extends TsaIdentity {
  readonly sign: (signedAttributes: Uint8Array) => Promise<Uint8Array>;
  /** Certificates over this key for faults. */
  readonly alternates: TsaAuthority['alternates'];
}

export interface FollowedKey {
  /** The version that signs now; a token is made with one from its first byte to its last. */
  readonly current: () => AuthorityKey;
  readonly close: () => Promise<void>;
}

const SIGNER_WAIT_MS = 30_000;
const EVERY_MS = 15_000;

/** Opens the key; the signer may be a moment behind. Rejects after half a minute, or when the key has no certificate. */
export async function followRemoteKey(
  at: Omit<SignWithOptions, 'kid' | 'alg' | 'form'>,
  makeFaulty: (certificate: Uint8Array) => Promise<TsaAuthority['alternates']>,
  tell: (event: string, more: Readonly<Record<string, unknown>>) => void,
): Promise<FollowedKey> {
  const open = (): Promise<RemoteKey> => openRemoteKey({ ...at, kid: 'tsa', alg: 'ES256', form: 'der' });
  let version = 0;
  let opened: RemoteKey | undefined;
  let held: AuthorityKey | undefined;
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    const key = await open();
    const [certificate, ...chain] = key.chain.map((pem) => new Uint8Array(new X509Certificate(pem).raw));
    if (certificate === undefined) throw new Error('the key tsa has no certificate');
    if (held !== undefined && key.version === version) return key.close();
    const alternates = await makeFaulty(certificate);
    const before = opened;
    if (held !== undefined) tell('key-rotated', { from: version, to: key.version });
    version = key.version;
    opened = key;
    held = {
      certificate,
      chain,
      alternates,
      async sign(bytes) {
        try {
          return await key.sign(bytes);
        } catch (error) {
          // This query fails and its client asks again; by then the version that signs is known.
          void lookAgain();
          throw error;
        }
      },
    };
    await before?.close();
  }

  function lookAgain(): Promise<void> {
    looking ??= look()
      .catch((error: unknown) =>
        tell('signer-not-ready', { reason: error instanceof Error ? error.message : 'unknown' }),
      )
      .finally(() => {
        looking = undefined;
      });
    return looking;
  }

  const deadline = Date.now() + SIGNER_WAIT_MS;
  while (held === undefined) {
    await lookAgain();
    if (held === undefined && Date.now() > deadline) throw new Error('the signer does not answer');
    if (held === undefined) await delay(250);
  }
  const first: AuthorityKey = held;
  const timer = setInterval(() => void lookAgain(), EVERY_MS);
  timer.unref();
  return {
    current: () => held ?? first,
    async close() {
      clearInterval(timer);
      await looking;
      await opened?.close();
    },
  };
}
