import { CLAIMS, type Claim, type ClaimResult, type Verdict } from './verdict.ts';

/** What must be good; the anchor has a rule of its own, and the licence stands with the certificate. */
const CORE = ['seal', 'key', 'inclusion', 'checkpoint', 'timestamp', 'certificate'] as const satisfies readonly Claim[];

/** Weakest first: what is missing for good, what is still to come, what could not be proven. */
const WEAKEST: readonly Verdict[] = ['absent', 'pending', 'unverified'];

/**
 * `invalid` if any claim is; else the weakest of the claims that count: the core, a digest that was given, an anchor
 * that could not be proven for another reason than that nobody asked. At most `unverified` without a trust file.
 * A disclosed value that is not the one committed to makes all `invalid`, like a file with another digest.
 */
export function judgeOverall(
  claims: Readonly<Record<Claim, ClaimResult>>,
  source: 'pinned' | 'own-keys',
  disclosed: readonly ClaimResult[] = [],
): Verdict {
  if ([...CLAIMS.map((name) => claims[name]), ...disclosed].some(({ verdict }) => verdict === 'invalid'))
    return 'invalid';
  const counted = CORE.map((name) => claims[name].verdict);
  if (claims.digest.verdict !== 'absent') counted.push(claims.digest.verdict);
  // An anchor that is not there is judged by the certificate, which names the one that it rests on.
  const { anchor } = claims;
  if (anchor.verdict === 'unverified' && anchor.reason !== 'ledger-not-consulted') counted.push('unverified');
  if (source === 'own-keys') counted.push('unverified');
  return WEAKEST.find((verdict) => counted.includes(verdict)) ?? 'valid';
}
