/** Instants as text: RFC 3339 in UTC, as statements, certificates and keys write them. */

const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z$/;

/**
 * Microseconds since the epoch of an RFC 3339 instant in UTC (`Z`, up to nine fraction digits, those beyond six cut
 * off); undefined for anything else, a day or hour that does not exist included.
 */
export function parseInstant(text: string): bigint | undefined {
  const match = INSTANT.exec(text);
  if (match === null) return undefined;
  const seconds = text.slice(0, 19);
  const ms = Date.parse(`${seconds}Z`);
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== seconds) return undefined;
  return BigInt(ms) * 1000n + BigInt((match[7] ?? '').slice(0, 6).padEnd(6, '0'));
}
