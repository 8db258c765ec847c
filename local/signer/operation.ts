/** What every operation of signer/1 shares: who asks, for which key, and that a repeat gets the same answer. */
import { createHash } from 'node:crypto';
import type { Clock } from '../../domain/clock.ts';
import type { KeyRing } from './key-ring.ts';
import type { Purpose } from './key-version.ts';
import type { LogMemory } from './log-memory.ts';
import type { Token } from './pkcs11/open-token.ts';
import { SignerProblem } from './problem.ts';
import type { ReplayStore } from './replay-store.ts';

export interface OperationDeps {
  /** Folder of the local keys. */
  readonly dir: string;
  readonly ring: KeyRing;
  readonly memory: LogMemory;
  readonly replay: ReplayStore;
  readonly policyFile: string;
  /** Where new versions of signing keys are made, if not in files. */
  readonly token?: Token | undefined;
  readonly clock: Clock;
  /** One event per refusal, failure and change of a key; no secrets, no values. */
  readonly log: (event: Readonly<Record<string, unknown>>) => void;
}

/** A caller and what its allow-list entry lets it use. */
export interface Caller {
  /** Common name of its certificate. */
  readonly name: string;
  readonly purposes: readonly Purpose[];
  /** May rotate, retire and withdraw keys. */
  readonly admin?: boolean;
}

export interface SigningRequest {
  readonly caller: Caller;
  readonly kid: string;
  readonly verb: string;
  /** 64 lower-case hex digits; undefined where the header is missing or malformed. */
  readonly idempotencyKey: string | undefined;
  readonly bytes: Buffer;
  readonly value: Readonly<Record<string, unknown>>;
}

/** The purpose of the key, if it is one of `allowed` and the caller may use it. */
export function requirePurpose(
  { ring }: OperationDeps,
  { kid, caller, verb }: SigningRequest,
  allowed?: readonly Purpose[],
): Purpose {
  const purpose = ring.purposeOf(kid);
  if (!caller.purposes.includes(purpose))
    throw new SignerProblem('client_not_allowed', `${caller.name} may not use keys for ${purpose}`);
  if (allowed !== undefined && !allowed.includes(purpose))
    throw new SignerProblem('alg_not_allowed', `${kid} is a key for ${purpose}: it does not ${verb}`);
  return purpose;
}

/** Makes an answer once for an idempotency key; two callers cannot see each other's answers, nor two keys. */
export function answerOnce(
  { replay }: OperationDeps,
  request: SigningRequest,
  purpose: Purpose,
  make: () => Promise<Readonly<Record<string, unknown>>>,
): Promise<Buffer> {
  const { caller, kid, verb, idempotencyKey, bytes } = request;
  if (idempotencyKey === undefined)
    throw new SignerProblem('request_malformed', 'Idempotency-Key is 64 lower-case hex digits');
  const requestHash = createHash('sha256').update(`${verb}\n`).update(bytes).digest('base64url');
  return replay.once(purpose, `${caller.name}|${kid}|${idempotencyKey}`, requestHash, async () => toJson(await make()));
}

export const toJson = (body: Readonly<Record<string, unknown>>): Buffer => Buffer.from(JSON.stringify(body));
export const base64Url = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
