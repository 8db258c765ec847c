/**
 * Whether topic, keys, account and network are what the ledger file says: asked of every mirror before anything is
 * sent, since a wrong one costs a fee or writes where nobody looks.
 */
import { equalBytes, fromHex } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { KeyResolver, ResolvedKey } from './key-resolver.ts';
import type { LedgerConfig } from './ledger-config.ts';
import { isSatisfiedBy, readLedgerKey } from './ledger-key.ts';
import { type MirrorClient, type MirrorKey, MirrorUnreachable } from './mirror-client.ts';

/**
 * `unreachable`: nobody answered, so nothing is known. `refused`: there are faults; while there are, nothing is sent for
 * the first time. What could not be asked stands in `open`.
 */
export interface SetupReport {
  readonly state: 'ok' | 'refused' | 'unreachable';
  readonly faults: readonly string[];
  readonly open: readonly string[];
}

/** Main network's first block: no other begins there. */
const MAINNET_BEGAN = '1568411631.396440000';
/** The account holds at least so many times the cap of a fee. */
const MIN_FEES = 10n;

/** Five requests a mirror at most. Never throws for what mirrors or the signer do. */
export async function checkSetup(deps: {
  readonly config: LedgerConfig;
  readonly keys: KeyResolver;
  readonly mirrors: readonly MirrorClient[];
}): Promise<SetupReport> {
  const { config, mirrors } = deps;
  const faults: string[] = [];
  const open: string[] = [];
  const payer = await resolve(deps.keys, config.payerKeyRef, faults, open);
  const submitKeyRef = config.submitKeyRef ?? config.payerKeyRef;
  const submit = submitKeyRef === config.payerKeyRef ? payer : await resolve(deps.keys, submitKeyRef, faults, open);
  const announced = config.submitKey === undefined ? undefined : fromHex(config.submitKey);
  if (submit !== undefined && announced !== undefined && !equalBytes(announced, submit.publicKey))
    faults.push(`submitKey of the ledger file is not the public key of ${submit.keyRef}`);
  let answered = 0;
  for (const mirror of mirrors) {
    try {
      faults.push(...(await askMirror(mirror, config, payer, submit)).map((fault) => `${mirror.url}: ${fault}`));
      answered += 1;
    } catch (error) {
      if (!(error instanceof MirrorUnreachable)) throw error;
      open.push(error.message);
    }
  }
  const known = [...new Set(faults)];
  if (known.length > 0) return { state: 'refused', faults: known, open };
  return { state: answered === 0 || (open.length > 0 && payer === undefined) ? 'unreachable' : 'ok', faults: [], open };
}

async function resolve(
  keys: KeyResolver,
  ref: string,
  faults: string[],
  open: string[],
): Promise<ResolvedKey | undefined> {
  try {
    return await keys.resolve(ref);
  } catch (error) {
    if (!(error instanceof ProoflineError)) throw error;
    const isAway = error.code === 'SIGNER_UNAVAILABLE' || error.code === 'SIGNER_MTLS_REJECTED';
    (isAway ? open : faults).push(`${ref}: ${error.message}`);
    return undefined;
  }
}

async function askMirror(
  mirror: MirrorClient,
  config: LedgerConfig,
  payer: ResolvedKey | undefined,
  submit: ResolvedKey | undefined,
): Promise<string[]> {
  const faults: string[] = [];
  const began = await mirror.firstBlockStart();
  if (began !== undefined && (began === MAINNET_BEGAN) !== (config.network === 'mainnet'))
    faults.push(
      began === MAINNET_BEGAN ? `this is mainnet, not ${config.network}` : 'this is another network than mainnet',
    );
  const signers = [payer, submit].flatMap((key) => (key === undefined ? [] : [key.publicKey]));
  const topic = await mirror.topic(config.topicId);
  if (topic === undefined) faults.push(`there is no topic ${config.topicId}`);
  else {
    if (topic.isDeleted) faults.push(`topic ${config.topicId} is deleted`);
    if (topic.hasCustomFees) faults.push(`topic ${config.topicId} has custom fees`);
    if (topic.submitKey === undefined)
      faults.push(`topic ${config.topicId} has no submit key: anybody may write to it`);
    else if (submit !== undefined && !isOurs(topic.submitKey, signers))
      faults.push(`the submit key of topic ${config.topicId} is not ${submit.keyRef}`);
  }
  const account = await mirror.account(config.payerAccountId);
  if (account === undefined || account.isDeleted) faults.push(`there is no account ${config.payerAccountId}`);
  else {
    if (payer !== undefined && account.key !== undefined && !isOurs(account.key, [payer.publicKey]))
      faults.push(`the key of account ${config.payerAccountId} is not ${payer.keyRef}`);
    const needed = MIN_FEES * BigInt(config.maxFeeTinybars);
    if (account.tinybars < needed)
      faults.push(`account ${config.payerAccountId} holds ${account.tinybars} tinybars, less than ${needed}`);
  }
  return faults;
}

function isOurs(shown: MirrorKey, publicKeys: readonly Uint8Array[]): boolean {
  const key = readLedgerKey(shown);
  return key !== undefined && isSatisfiedBy(key, publicKeys);
}
