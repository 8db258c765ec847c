/**
 * Revocation lists by the addresses that certificates name (RFC 5280 §4.2.1.13), bounded in time and bytes, verified
 * against the issuer before anybody sees them, remembered while they are in force. One question at a time for each list.
 */
import { Agent, request } from 'undici';
import { equalBytes } from '../../domain/bytes.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { parseInstant } from '../../domain/time.ts';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import { type Certificate, KEY_USAGE, readCertificate } from '../../domain/timestamp/certificate.ts';
import { isObjectSignedBy } from '../../domain/timestamp/chain.ts';
import { readCrl } from '../../domain/timestamp/crl.ts';
import { readPem } from '../../domain/timestamp/pem.ts';

/** A complete list in force, signed by the issuer of the certificate. */
export interface RevocationData {
  /** DER of the CertificateList. */
  readonly crl: Uint8Array;
  /** RFC 3339 UTC with six fraction digits, as `nextUpdate`. */
  readonly thisUpdate: string;
  readonly nextUpdate: string;
}

export interface RevocationQuestion {
  /** Issuers beside the configured ones, DER; only certificates whose own path is verified belong here. */
  readonly issuers?: readonly Uint8Array[];
  /** RFC 3339: a list made earlier does not do (what a signature at that time needs). */
  readonly madeAfter?: string;
}

export interface RevocationSource {
  /**
   * The list that covers a certificate (DER). Whether the certificate stands on it is for the caller to judge. Throws
   * REVOCATION_UNAVAILABLE, retryable: no address, no known issuer, no answer, not signed by the issuer, not in force, or
   * older than `madeAfter`. Ask only about certificates whose path is verified: the address is taken from it.
   */
  fetchRevocation(certificate: Uint8Array, question?: RevocationQuestion): Promise<RevocationData>;
  close(): Promise<void>;
}

export interface RevocationSourceOptions {
  /** Certificates of issuers, PEM, one or more in each. */
  readonly issuers: readonly string[];
  readonly clock: Clock;
  /** For one request; default and upper bound 5,000. */
  readonly timeoutMs?: number;
  /** Of one list; default and upper bound 4 MiB. */
  readonly maxBytes?: number;
  /** A list in force is asked for again after this; default 60,000. */
  readonly refreshMs?: number;
}

const MAX_TIMEOUT_MS = 5_000;
const MAX_BYTES = 4 * 1_048_576;
const MAX_LISTS = 64;
/** A list may come from a clock that is slightly ahead of ours. */
const AHEAD_MICROS = 60_000_000n;

interface Held {
  readonly data: RevocationData;
  readonly thisMicros: bigint;
  readonly nextMicros: bigint;
  /** When it is asked for again, milliseconds. */
  refreshAt: number;
}

export function createRevocationSource(options: RevocationSourceOptions): RevocationSource {
  const { clock } = options;
  const cache = createVerificationCache(128);
  const known = options.issuers.flatMap((pem) => readPem(pem, cache)).map((der) => readCertificate(der, cache));
  const refreshMs = options.refreshMs ?? 60_000;
  const bounds = {
    timeoutMs: Math.min(options.timeoutMs ?? MAX_TIMEOUT_MS, MAX_TIMEOUT_MS),
    maxBytes: Math.min(options.maxBytes ?? MAX_BYTES, MAX_BYTES),
  };
  const dispatcher = new Agent({ connections: 2, connect: { timeout: bounds.timeoutMs }, keepAliveTimeout: 4_000 });
  const held = new Map<string, Held>();
  const asking = new Map<string, Promise<Held>>();

  async function load(url: string, issuers: readonly Certificate[], key: string): Promise<Held> {
    const crl = await download(url, bounds, dispatcher);
    const nowMicros = BigInt(Math.trunc(clock.nowMs())) * 1000n;
    const { thisMicros, nextMicros } = await readInForce(crl, issuers, url, nowMicros);
    const data = { crl, thisUpdate: toMicros(thisMicros), nextUpdate: toMicros(nextMicros) };
    const found: Held = { data, thisMicros, nextMicros, refreshAt: clock.nowMs() + refreshMs };
    held.delete(key);
    held.set(key, found);
    const oldest = held.keys().next();
    if (held.size > MAX_LISTS && !oldest.done) held.delete(oldest.value);
    return found;
  }

  async function readInForce(
    crl: Uint8Array,
    issuers: readonly Certificate[],
    url: string,
    nowMicros: bigint,
  ): Promise<{ readonly thisMicros: bigint; readonly nextMicros: bigint }> {
    const list = attemptRead(() => readCrl(crl, cache), url);
    let isSigned = false;
    for (const issuer of issuers)
      isSigned ||= equalBytes(list.issuer, issuer.subject) && (await isObjectSignedBy(list, issuer, cache));
    if (!isSigned) throw unavailable(`${url}: the list is not signed by the issuer of the certificate`);
    if (!list.isComplete) throw unavailable(`${url}: the list is not complete`);
    const thisMicros = list.thisUpdate.epochMicros;
    const nextMicros = list.nextUpdate?.epochMicros;
    if (nextMicros === undefined || nextMicros <= nowMicros || thisMicros > nowMicros + AHEAD_MICROS)
      throw unavailable(
        `${url}: in force from ${list.thisUpdate.text} to ${list.nextUpdate?.text ?? 'a time that is not said'}`,
      );
    return { thisMicros, nextMicros };
  }

  /** The list at one address: as held, else asked for, by whoever comes first. */
  function find(url: string, issuers: readonly Certificate[], madeAfter: bigint | undefined): Promise<Held> {
    const key = `${url} ${issuers.map((issuer) => issuer.fingerprint).join(' ')}`;
    const now = clock.nowMs();
    const have = held.get(key);
    const isInForce = have !== undefined && BigInt(Math.trunc(now)) * 1000n < have.nextMicros;
    const isLateEnough = have !== undefined && (madeAfter === undefined || have.thisMicros >= madeAfter);
    if (have !== undefined && isInForce && isLateEnough && now < have.refreshAt) return Promise.resolve(have);
    let answer = asking.get(key);
    if (answer === undefined) {
      answer = load(url, issuers, key).finally(() => asking.delete(key));
      asking.set(key, answer);
    }
    if (have === undefined || !isInForce || !isLateEnough) return answer;
    return answer.catch(() => {
      // It is in force: an outage of its publisher harms nobody until it ends.
      have.refreshAt = clock.nowMs() + refreshMs / 4;
      return have;
    });
  }

  return {
    async fetchRevocation(der, { issuers = [], madeAfter } = {}) {
      const certificate = attemptRead(() => readCertificate(der, cache), 'the certificate');
      const candidates = [
        ...known,
        ...issuers.map((one) => attemptRead(() => readCertificate(one, cache), 'an issuer')),
      ]
        .filter((issuer) => equalBytes(issuer.subject, certificate.issuer))
        .filter((issuer) => issuer.keyUsage === undefined || issuer.keyUsage.has(KEY_USAGE.cRLSign));
      const signers: Certificate[] = [];
      for (const issuer of candidates) if (await isObjectSignedBy(certificate, issuer, cache)) signers.push(issuer);
      if (signers.length === 0) throw unavailable('the issuer of the certificate is not known');
      if (certificate.crlUrls.length === 0) throw unavailable('the certificate names no list');
      const after = madeAfter === undefined ? undefined : parseInstant(madeAfter);
      const refusals: string[] = [];
      for (const url of certificate.crlUrls) {
        try {
          const found = await find(url, signers, after);
          if (after === undefined || found.thisMicros >= after) return found.data;
          refusals.push(`${url}: made at ${found.data.thisUpdate}, before ${madeAfter}`);
        } catch (error) {
          if (!(error instanceof ProoflineError)) throw error;
          refusals.push(error.detail);
        }
      }
      throw unavailable(refusals.join(' | '));
    },
    close: () => dispatcher.destroy(),
  };
}

const unavailable = (detail: string, cause?: unknown): ProoflineError =>
  new ProoflineError('REVOCATION_UNAVAILABLE', detail.slice(0, 600), cause === undefined ? {} : { cause });

function attemptRead<Value>(read: () => Value, what: string): Value {
  try {
    return read();
  } catch (cause) {
    throw unavailable(`${what}: ${cause instanceof Error ? cause.message : 'unreadable'}`, cause);
  }
}

async function download(
  url: string,
  bounds: { readonly timeoutMs: number; readonly maxBytes: number },
  dispatcher: Agent,
): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(bounds.timeoutMs);
  try {
    const { statusCode, body } = await request(url, { dispatcher, signal: timeout });
    if (statusCode !== 200) {
      // An unread body keeps its connection; destroyed, it reports an abort that nobody waits for.
      body.on('error', () => {}).destroy();
      throw unavailable(`${url}: HTTP ${statusCode}`);
    }
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of body as AsyncIterable<Uint8Array>) {
      length += part.length;
      if (length > bounds.maxBytes) throw unavailable(`${url}: longer than ${bounds.maxBytes} bytes`);
      parts.push(part);
    }
    return new Uint8Array(Buffer.concat(parts));
  } catch (error) {
    if (error instanceof ProoflineError) throw error;
    const { code, name } = error as { code?: string; name?: string };
    const reason = timeout.aborted ? `no answer within ${bounds.timeoutMs} ms` : (code ?? name ?? 'failed');
    throw unavailable(`${url}: ${reason}`, error);
  }
}
