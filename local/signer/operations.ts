/** What signer/1 signs, apart from HTTP: each operation takes a checked request and gives the JSON of its answer. */
import type { Clock } from '../../domain/clock.ts';
import { KEY_ALGS, type KeyVersion, type Purpose } from './key-version.ts';
import { answerOnce, base64Url, type OperationDeps, requirePurpose, type SigningRequest } from './operation.ts';
import { SignerProblem } from './problem.ts';
import { LIMITS, parseSignBody, parseTransactionBody, type SignBody } from './read-body.ts';
import { readCheckpoints, requireReadable } from './readable-value.ts';
import { readTransactionPolicy, requireAllowedTransactions } from './transaction-policy.ts';

const SIGNING: readonly Purpose[] = ['seal', 'log-checkpoint', 'certificate', 'pdf', 'tsa'];
const DIGEST_BYTES = 32;

export function describeSigner(clock: Clock): Record<string, unknown> {
  return {
    protocol: 'signer/1',
    dev: true,
    algorithms: KEY_ALGS,
    inputKinds: ['tbs', 'digest'],
    transactions: ['hedera', 'evm'],
    limits: LIMITS,
    time: new Date(clock.nowMs()).toISOString(),
  };
}

/** Signs values that the signer can read; checkpoints only forwards. */
export async function signInput(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const body = parseSignBody(request.value);
  const purpose = requirePurpose(deps, request);
  if (purpose === 'tx-hedera' || purpose === 'tx-evm')
    throw new SignerProblem('blind_signing_refused', 'transactions go to sign-transaction');
  requirePurpose(deps, request, SIGNING);
  return answerOnce(deps, request, purpose, async () => {
    const { meta, key } = deps.ring.select(request.kid, body.version);
    if (body.alg !== meta.alg)
      throw new SignerProblem('alg_not_allowed', `${meta.kid} signs ${meta.alg}, not ${body.alg.slice(0, 32)}`);
    if (body.kind === 'digest') {
      requireDigests(meta, body);
      return answer(meta, await key.signDigests(body.values));
    }
    if (purpose === 'log-checkpoint') await deps.memory.advance(readCheckpoints(body.values));
    else requireReadable(meta, body.values, body.context);
    return answer(meta, await key.sign(body.values));
  });
}

/** A digest says nothing of what it is of: only a key that was made for that signs one. */
function requireDigests(meta: KeyVersion, { values }: SignBody): void {
  if (meta.digests !== true || (meta.purpose !== 'seal' && meta.purpose !== 'certificate'))
    throw new SignerProblem('blind_signing_refused', `${meta.kid} hashes for itself: send kind tbs`);
  const index = values.findIndex((value) => value.length !== DIGEST_BYTES);
  if (index >= 0) throw new SignerProblem('value_refused', `value ${index} is no SHA-256 digest`, { index });
}

/** Signs transactions that the policy allows, all or none. */
export async function signTransaction(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, kind, bodies } = parseTransactionBody(request.value);
  const purpose = requirePurpose(deps, request, [kind === 'hedera' ? 'tx-hedera' : 'tx-evm']);
  return answerOnce(deps, request, purpose, async () => {
    const { meta, key } = deps.ring.select(request.kid, version);
    requireAllowedTransactions(await readTransactionPolicy(deps.policyFile), kind, bodies, deps.clock.nowMs());
    const signatures = await key.sign(bodies);
    // Hedera takes r‖s alone; an Ethereum transaction needs the parity too.
    return answer(meta, kind === 'hedera' ? signatures.map((signature) => signature.subarray(0, 64)) : signatures);
  });
}

/** The last head of a log that the signer agreed to. */
export function describeLog({ memory }: OperationDeps, origin: string): Record<string, unknown> {
  const last = memory.last(origin);
  if (last === undefined) throw new SignerProblem('not_found', 'no checkpoint of this log was signed');
  return { origin, size: last.size.toString(), root: base64Url(last.root) };
}

function answer(
  { kid, version, alg }: KeyVersion,
  signatures: readonly Uint8Array[],
): Readonly<Record<string, unknown>> {
  return { kid, version, alg, signatures: signatures.map(base64Url) };
}
