/** What signer/1 does, apart from HTTP: each operation takes a checked request and gives the JSON of its answer. */
import { createHash } from 'node:crypto';
import { toBase64Url } from '../../domain/bytes.ts';
import type { Clock } from '../../domain/clock.ts';
import type { KeyRing } from './key-ring.ts';
import { KEY_ALGS, type Purpose } from './key-version.ts';
import type { LogMemory } from './log-memory.ts';
import { SignerProblem } from './problem.ts';
import { LIMITS, parseSignBody, parseTransactionBody } from './read-body.ts';
import { readCheckpoints, requireReadable } from './readable-value.ts';
import type { ReplayStore } from './replay-store.ts';
import { readTransactionPolicy, requireAllowedBody } from './transaction-policy.ts';

export interface OperationDeps {
  readonly ring: KeyRing;
  readonly memory: LogMemory;
  readonly replay: ReplayStore;
  readonly policyFile: string;
  readonly clock: Clock;
}

/** A caller and what its allow-list entry lets it use. */
export interface Caller {
  readonly name: string;
  readonly purposes: readonly Purpose[];
}

export interface SigningRequest {
  readonly caller: Caller;
  readonly kid: string;
  readonly idempotencyKey: string;
  readonly bytes: Buffer;
  readonly value: Readonly<Record<string, unknown>>;
}

const HOUR_MS = 3_600_000;
/** How long an answer is replayed: seals and checkpoints an hour, what leaves the house a week. */
const REPLAY_MS: Readonly<Record<Purpose, number>> = {
  seal: HOUR_MS,
  'log-checkpoint': HOUR_MS,
  tsa: HOUR_MS,
  certificate: 168 * HOUR_MS,
  pdf: 168 * HOUR_MS,
  'tx-hedera': 168 * HOUR_MS,
  'tx-evm': 168 * HOUR_MS,
  hmac: 168 * HOUR_MS,
  decrypt: HOUR_MS,
};

export function describeSigner(clock: Clock): Record<string, unknown> {
  return {
    protocol: 'signer/1',
    dev: true,
    algorithms: KEY_ALGS,
    inputKinds: ['tbs'],
    transactions: ['hedera'],
    limits: LIMITS,
    time: new Date(clock.nowMs()).toISOString(),
  };
}

/** Signs values that the signer can read; checkpoints only forwards. */
export async function signInput(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { ring, memory, replay } = deps;
  const body = parseSignBody(request.value);
  const purpose = requirePurpose(deps, request);
  return replay.once(replayKey(request), requestHash(request), REPLAY_MS[purpose], async () => {
    const { meta, key } = ring.select(request.kid, body.version);
    if (body.alg !== meta.alg)
      throw new SignerProblem('alg_not_allowed', `${meta.kid} signs ${meta.alg}, not ${body.alg.slice(0, 32)}`);
    if (body.kind === 'digest')
      throw new SignerProblem('blind_signing_refused', 'this signer hashes for itself: send kind tbs');
    if (purpose === 'tx-hedera')
      throw new SignerProblem('blind_signing_refused', 'transactions go to sign-transaction');
    if (purpose === 'log-checkpoint') await memory.advance(readCheckpoints(body.values));
    else requireReadable(meta, body.values, body.context);
    return answer(meta, await key.sign(body.values));
  });
}

/** Signs transaction bodies that the policy allows, all or none. */
export async function signTransaction(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, bodies } = parseTransactionBody(request.value);
  const purpose = requirePurpose(deps, request);
  if (purpose !== 'tx-hedera') throw new SignerProblem('alg_not_allowed', `${request.kid} does not sign transactions`);
  return deps.replay.once(replayKey(request), requestHash(request), REPLAY_MS[purpose], async () => {
    const { meta, key } = deps.ring.select(request.kid, version);
    const policy = await readTransactionPolicy(deps.policyFile);
    for (const [index, bytes] of bodies.entries()) requireAllowedBody(policy, bytes, index);
    return answer(meta, await key.sign(bodies));
  });
}

/** The last head of a log that the signer agreed to. */
export function describeLog({ memory }: OperationDeps, origin: string): Record<string, unknown> {
  const last = memory.last(origin);
  if (last === undefined) throw new SignerProblem('not_found', 'no checkpoint of this log was signed');
  return { origin, size: last.size.toString(), root: toBase64Url(last.root) };
}

function requirePurpose({ ring }: OperationDeps, { kid, caller }: SigningRequest): Purpose {
  const purpose = ring.purposeOf(kid);
  if (!caller.purposes.includes(purpose))
    throw new SignerProblem('client_not_allowed', `${caller.name} may not use keys for ${purpose}`);
  return purpose;
}

function answer(
  meta: { readonly kid: string; readonly version: number; readonly alg: string },
  signatures: readonly Uint8Array[],
): Buffer {
  return Buffer.from(
    JSON.stringify({
      kid: meta.kid,
      version: meta.version,
      alg: meta.alg,
      signatures: signatures.map((s) => Buffer.from(s).toString('base64url')),
    }),
  );
}

/** Two callers cannot see each other's answers, nor two keys. */
const replayKey = (r: SigningRequest): string => `${r.caller.name}|${r.kid}|${r.idempotencyKey}`;
const requestHash = (r: SigningRequest): string => createHash('sha256').update(r.bytes).digest('base64url');
