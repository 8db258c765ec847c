/**
 * ASN.1 times (X.690 §11.7, RFC 3161 §2.4.2): GeneralizedTime in UTC, seconds present, a fraction without trailing
 * zeros; UTCTime as certificates use it (RFC 5280 §4.1.2.5).
 */
import { DerFault, readAscii, TAG, type Tlv } from './der.ts';

const GENERALIZED = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{0,17}[1-9]))?Z$/;

/** An instant: microseconds since the epoch (finer digits cut off), and the text it came from. */
export interface AsnTime {
  readonly epochMicros: bigint;
  readonly text: string;
}

export function readGeneralizedTime(tlv: Tlv, what: string): AsnTime {
  const text = readAscii(tlv, what);
  const parts = GENERALIZED.exec(text);
  if (tlv.tag !== TAG.generalizedTime || parts === null) throw new DerFault('MALFORMED', `${what}: time "${text}"`);
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(ms);
  // A day or hour that does not exist rolls over in Date.UTC; years below 100 become 19xx there.
  if (
    back.getUTCFullYear() !== year ||
    back.getUTCMonth() !== month - 1 ||
    back.getUTCDate() !== day ||
    back.getUTCHours() !== hour ||
    back.getUTCMinutes() !== minute ||
    back.getUTCSeconds() !== second
  )
    throw new DerFault('MALFORMED', `${what}: no such time "${text}"`);
  const micros = BigInt((parts[7] ?? '').slice(0, 6).padEnd(6, '0'));
  return { epochMicros: BigInt(ms) * 1000n + micros, text };
}

/** Time ::= UTCTime | GeneralizedTime, to the second. */
export function readCertificateTime(tlv: Tlv, what: string): AsnTime {
  if (tlv.tag === TAG.generalizedTime) return readGeneralizedTime(tlv, what);
  const text = readAscii(tlv, what);
  if (tlv.tag !== TAG.utcTime || !/^\d{12}Z$/.test(text)) throw new DerFault('MALFORMED', `${what}: time "${text}"`);
  const century = Number(text.slice(0, 2)) < 50 ? '20' : '19';
  const content = Uint8Array.from(`${century}${text}`, (char) => char.charCodeAt(0));
  return readGeneralizedTime({ tag: TAG.generalizedTime, content, raw: content }, what);
}

/** GeneralizedTime content of an instant in microseconds since the epoch, fraction without trailing zeros. */
export function formatGeneralizedTime(epochMicros: bigint): string {
  const seconds = new Date(Number(epochMicros / 1_000_000n) * 1000).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const fraction = (epochMicros % 1_000_000n).toString().padStart(6, '0').replace(/0+$/, '');
  return fraction === '' ? `${seconds}Z` : `${seconds}.${fraction}Z`;
}
