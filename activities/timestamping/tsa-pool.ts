/**
 * Authorities in order of preference. Each attempt has a fresh nonce, its own time and size bound, and our whole
 * verification; whatever goes wrong with one, a token that fails verification included, the next is asked.
 */
import { Agent } from 'undici';
import type { Clock } from '../../domain/clock.ts';
import { type ErrorCode, ProoflineError } from '../../domain/errors.ts';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import { readCertificate } from '../../domain/timestamp/certificate.ts';
import { readPem } from '../../domain/timestamp/pem.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { type ResponseVerdict, verifyTimestampResponse } from '../../domain/timestamp/verify-token.ts';
import type { RevocationSource } from '../revocation/revocation-source.ts';
import { type BreakerLimits, type BreakerState, type CircuitBreaker, createCircuitBreaker } from './circuit-breaker.ts';
import { requestToken } from './request-token.ts';
import { type BucketLimit, createTokenBucket } from './token-bucket.ts';

export interface TsaConfig {
  readonly name: string;
  readonly url: string;
  /** Policies accepted from it, dotted. */
  readonly policies: readonly string[];
  /** Trusted roots, PEM. */
  readonly roots: readonly string[];
  /** Run by the operator of this instance: its tokens are labelled so. */
  readonly selfOperated: boolean;
  /** Revocation lists, PEM. When there are any, the chain must be good by one that is in force. */
  readonly crls?: readonly string[];
  /** What the authority allows; default 20 at once, 10 a second. */
  readonly bucket?: BucketLimit;
}

export interface Stamped {
  /** Name of the authority. */
  readonly tsa: string;
  readonly selfOperated: boolean;
  /** DER of the TimeStampToken. */
  readonly token: Uint8Array;
  /** RFC 3339 UTC with six fraction digits. */
  readonly genTime: string;
  /** Unsigned hex. */
  readonly serial: string;
  readonly policy: string;
  /** End of the authority's certificate, RFC 3339: by then a later token must protect this one. */
  readonly endsAt: string;
  readonly revocation: 'good' | 'unverified';
  /** DER of the lists by which the chain was good; none beyond 16 KiB, since each stored token holds them. */
  readonly crls: readonly Uint8Array[];
}

export interface TsaPoolOptions {
  readonly tsas: readonly TsaConfig[];
  readonly clock: Clock;
  /** Cryptographically random bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Whether no stored token of this authority bears the serial. */
  readonly isSerialUnused: (tsa: string, serial: string) => Promise<boolean>;
  /**
   * Where lists are fetched that the certificates name; the chain must then be good by them. Without it only `crls` of the
   * configuration count.
   */
  readonly revocation?: Pick<RevocationSource, 'fetchRevocation'>;
  /** Per authority; default and upper bound 10,000. */
  readonly timeoutMs?: number;
  /** Per authority; default and upper bound 65,536. */
  readonly maxBytes?: number;
  readonly breaker?: BreakerLimits;
  /** Told of each attempt, for metrics and logs. `detail` names failed points, never a secret. */
  readonly onAttempt?: (attempt: TsaAttempt) => void;
}

export interface TsaAttempt {
  readonly tsa: string;
  readonly outcome: 'stamped' | 'skipped-breaker' | 'skipped-bucket' | Extract<ErrorCode, `TSA_${string}`>;
  readonly detail: string;
  readonly durationMs: number;
  /** Of a token: its time minus ours at the middle of the exchange, milliseconds. */
  readonly driftMs?: number;
}

export interface TsaPool {
  /**
   * One verified token over a SHA-256, SHA-384 or SHA-512 value. Takes at most 10 s per authority. Throws TSA_BAD_TOKEN
   * when every authority that answered gave a bad token, TSA_REJECTED when one refused, else TSA_UNAVAILABLE.
   */
  stamp(imprint: Uint8Array, signal?: AbortSignal, choice?: StampChoice): Promise<Stamped>;
  /**
   * Asks every authority, for a token that nobody keeps, and says how far each clock is from ours; undefined where none
   * was to be had. Each attempt is told to `onAttempt`.
   */
  compareClocks(signal?: AbortSignal): Promise<readonly ClockReading[]>;
  states(): readonly { readonly tsa: string; readonly breaker: BreakerState }[];
  close(): Promise<void>;
}

export interface StampChoice {
  /** Names of authorities that are not asked, since they are what the token is to protect from. */
  readonly except?: readonly string[];
}

export interface ClockReading {
  readonly tsa: string;
  /** Its time minus ours at the middle of the exchange, milliseconds. */
  readonly driftMs: number | undefined;
}

const MAX_KEPT_CRLS = 16_384;
const pemCache = createVerificationCache(16);
// With the only authority back, the next token must not be a minute away: the rest is short.
const BREAKER: BreakerLimits = { failures: 3, openMs: 1_000, maxOpenMs: 10_000 };
const BUCKET: BucketLimit = { capacity: 20, refillMs: 100 };

/** Throws CONFIG_INVALID without authorities, with two of one name, or with one that trusts nothing. */
export function createTsaPool(options: TsaPoolOptions): TsaPool {
  refuseBadConfig(options.tsas);
  const nowMs = () => options.clock.nowMs();
  const dispatcher = new Agent({ connections: 4, connect: { timeout: 5_000 }, keepAliveTimeout: 10_000 });
  const bounds = {
    timeoutMs: Math.min(options.timeoutMs ?? 10_000, 10_000),
    maxBytes: Math.min(options.maxBytes ?? 65_536, 65_536),
    dispatcher,
  };
  const members = options.tsas.map((tsa) => ({
    tsa,
    bucket: createTokenBucket(tsa.bucket ?? BUCKET, nowMs),
    breaker: createCircuitBreaker(options.breaker ?? BREAKER, nowMs),
  }));

  async function attempt(tsa: TsaConfig, imprint: Uint8Array, signal?: AbortSignal): Promise<Stamped> {
    const nonce = options.random(8);
    const reply = await requestToken(tsa.url, buildTimestampRequest({ imprint, nonce }), bounds, signal);
    const crls = tsa.crls ?? [];
    const trust = {
      imprint,
      nonce,
      policies: tsa.policies,
      roots: tsa.roots,
      crls,
      nowMs: nowMs(),
      requireRevocation: options.revocation === undefined && crls.length > 0,
      isSerialUnused: (serial: string) => options.isSerialUnused(tsa.name, serial),
    };
    let verdict = await verifyTimestampResponse(reply, trust);
    let fetched: readonly Uint8Array[] = [];
    // Only now: the addresses of lists are those of a chain that is verified.
    if (verdict.ok && options.revocation !== undefined) {
      fetched = await fetchLists(options.revocation, verdict.chain ?? []);
      const requireRevocation = fetched.length + crls.length > 0;
      const withLists = { ...trust, crls: [...crls, ...fetched], requireRevocation, isSerialUnused: async () => true };
      verdict = await verifyTimestampResponse(reply, withLists);
    }
    if (!verdict.ok || verdict.token === undefined) throw asRefusal(verdict);
    const { genTimeMicros, serial, policy, token, revocation, certificateNotAfter } = verdict;
    if (revocation === 'revoked') throw new ProoflineError('TSA_BAD_TOKEN', 'revoked');
    return {
      tsa: tsa.name,
      selfOperated: tsa.selfOperated,
      token,
      genTime: genTimeMicros,
      serial,
      policy,
      endsAt: certificateNotAfter,
      revocation,
      crls: revocation === 'good' ? keepable([...crls, ...fetched]) : [],
    };
  }

  type Member = (typeof members)[number];

  /** One authority, if its breaker and its budget let us. An error that is not its own is thrown. */
  async function ask(
    { tsa, bucket, breaker }: Member,
    imprint: Uint8Array,
    signal?: AbortSignal,
  ): Promise<{ readonly stamped?: Stamped; readonly refusal?: ProoflineError; readonly driftMs?: number }> {
    signal?.throwIfAborted();
    const began = nowMs();
    const tell = (outcome: TsaAttempt['outcome'], detail = '', genTime?: string): number | undefined => {
      const durationMs = nowMs() - began;
      const driftMs = genTime === undefined ? undefined : Date.parse(genTime) - (began + durationMs / 2);
      options.onAttempt?.({ tsa: tsa.name, outcome, detail, durationMs, ...(driftMs !== undefined && { driftMs }) });
      return driftMs;
    };
    const skip = (outcome: TsaAttempt['outcome']): object => {
      tell(outcome);
      return {};
    };
    // The bucket first: a try that half-open admits must really go out.
    if (breaker.state() === 'open') return skip('skipped-breaker');
    if (!bucket.take()) return skip('skipped-bucket');
    if (!breaker.admit()) return skip('skipped-breaker');
    try {
      const stamped = await attempt(tsa, imprint, signal);
      breaker.succeeded();
      const driftMs = tell('stamped', '', stamped.genTime);
      return { stamped, ...(driftMs !== undefined && { driftMs }) };
    } catch (error) {
      settle(breaker, error, signal);
      if (!isTsaError(error)) throw error;
      tell(error.code, error.detail);
      return { refusal: new ProoflineError(error.code, `${tsa.name}: ${error.detail}`, { cause: error }) };
    }
  }

  return {
    async stamp(imprint, signal, { except = [] } = {}) {
      const refusals: ProoflineError[] = [];
      for (const member of members) {
        if (except.includes(member.tsa.name)) continue;
        const { stamped, refusal } = await ask(member, imprint, signal);
        if (stamped !== undefined) return stamped;
        if (refusal !== undefined) refusals.push(refusal);
      }
      throw summary(refusals);
    },
    async compareClocks(signal) {
      const readings: ClockReading[] = [];
      for (const member of members) {
        const { driftMs } = await ask(member, options.random(32), signal);
        readings.push({ tsa: member.tsa.name, driftMs });
      }
      return readings;
    },
    states: () => members.map(({ tsa, breaker }) => ({ tsa: tsa.name, breaker: breaker.state() })),
    close: () => dispatcher.destroy(),
  };
}

/** The lists that a verified chain names, those of its root apart. Throws TSA_UNAVAILABLE when one cannot be had. */
async function fetchLists(
  source: Pick<RevocationSource, 'fetchRevocation'>,
  chain: readonly Uint8Array[],
): Promise<readonly Uint8Array[]> {
  const below = chain.slice(0, -1).filter((der) => readCertificate(der, pemCache).crlUrls.length > 0);
  try {
    const found = await Promise.all(below.map((der) => source.fetchRevocation(der, { issuers: chain })));
    return found.map(({ crl }) => crl);
  } catch (error) {
    if (!(error instanceof ProoflineError)) throw error;
    throw new ProoflineError('TSA_UNAVAILABLE', `revocation: ${error.detail}`, { cause: error });
  }
}

type TsaError = ProoflineError & { readonly code: Extract<ErrorCode, `TSA_${string}`> };

const isTsaError = (error: unknown): error is TsaError =>
  error instanceof ProoflineError && error.code.startsWith('TSA_');

/** An error that is not the authority's (our store, our stop) says nothing about it. */
function settle(breaker: CircuitBreaker, error: unknown, signal: AbortSignal | undefined): void {
  if (signal?.aborted || !isTsaError(error)) breaker.abandoned();
  else breaker.failed(error.extra.isLasting === true);
}

/** Points and codes that failed; a refusal for a reason that repeating cannot mend is marked lasting. */
function asRefusal(verdict: ResponseVerdict): ProoflineError {
  const detail = verdict.failures.map(({ point, code, detail }) => `${point} ${code}: ${detail}`).join('; ');
  const isRejected = verdict.failures.some(({ point }) => point === 1);
  return new ProoflineError(isRejected ? 'TSA_REJECTED' : 'TSA_BAD_TOKEN', detail, {
    // badAlg and badRequest: the same request will be refused again.
    extra: { isLasting: isRejected && /failInfo (?:0780|0520)\b/.test(detail) },
  });
}

/** DER of revocation lists that are small enough to lie beside each token. */
function keepable(sources: readonly (string | Uint8Array)[]): readonly Uint8Array[] {
  const lists = sources.flatMap((text) => readPem(text, pemCache));
  return lists.reduce((sum, list) => sum + list.length, 0) > MAX_KEPT_CRLS ? [] : lists;
}

function summary(refusals: readonly ProoflineError[]): ProoflineError {
  const detail =
    refusals.length === 0
      ? 'every authority is resting or out of its budget'
      : refusals.map((refusal) => refusal.detail).join(' | ');
  const answered = refusals.filter((refusal) => refusal.code !== 'TSA_UNAVAILABLE');
  const code =
    answered.length === 0
      ? 'TSA_UNAVAILABLE'
      : answered.some((refusal) => refusal.code === 'TSA_BAD_TOKEN')
        ? 'TSA_BAD_TOKEN'
        : 'TSA_REJECTED';
  return new ProoflineError(code, detail, { cause: new AggregateError(refusals) });
}

function refuseBadConfig(tsas: readonly TsaConfig[]): void {
  const faults = tsas.flatMap((tsa) => [
    ...(tsa.roots.length === 0 ? [`${tsa.name}: no root`] : []),
    ...(tsa.policies.length === 0 ? [`${tsa.name}: no policy`] : []),
    ...(URL.canParse(tsa.url) ? [] : [`${tsa.name}: url`]),
  ]);
  if (tsas.length === 0) faults.push('no timestamp authority');
  if (new Set(tsas.map((tsa) => tsa.name)).size !== tsas.length) faults.push('two authorities of one name');
  if (faults.length > 0) throw new ProoflineError('CONFIG_INVALID', faults.join('; '), { extra: { faults } });
}
