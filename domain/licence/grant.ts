/** The licence grant: a signed right to certify, and what changes one. The file is as `signed-file.ts` says. */
import { isUuid, type OrgUnitId, type TenantId } from '../ids.ts';
import { list, object, oneOf, type Read, ShapeFault, text } from '../shape.ts';
import { parseInstant } from '../time.ts';
import { fileHash, MAX_FILE_BYTES, parseSignedFile, type SignedFile, signingInput } from './signed-file.ts';

export const GRANT_TYPE = 'proofline/grant/v1';
export const GRANT_TYP = 'proofline-grant+jws';
/** Bytes of a grant file. */
export const MAX_GRANT_BYTES = MAX_FILE_BYTES;
/** Allocations of one grant, within `MAX_GRANT_BYTES`. */
export const MAX_ALLOCATIONS = 400;

export const GRANT_KINDS = ['BASE', 'ADDENDUM', 'REVOCATION', 'TRANSFER'] as const;
export type GrantKind = (typeof GRANT_KINDS)[number];

export const TERM_TYPES = ['MONTHLY', 'ANNUAL', 'MULTI_YEAR', 'PERPETUAL'] as const;

/**
 * Calendar terms in a zone. MONTHLY and ANNUAL: `count` months or years, each with the whole quota; up to `rollover`
 * unused units pass on to the next period. MULTI_YEAR: one period of `count` years. PERPETUAL: one without end.
 */
export type Term =
  | {
      readonly type: 'MONTHLY' | 'ANNUAL';
      readonly count: number;
      readonly anchorDate: string;
      readonly timeZone: string;
      readonly rollover: number;
    }
  | { readonly type: 'MULTI_YEAR'; readonly count: number; readonly anchorDate: string; readonly timeZone: string }
  | { readonly type: 'PERPETUAL'; readonly anchorDate: string; readonly timeZone: string };

/** A share of the quota for an org unit and what lies below it. */
export interface Allocation {
  readonly orgUnit: OrgUnitId;
  readonly limit: number;
}

interface GrantCommon {
  readonly type: typeof GRANT_TYPE;
  readonly grantId: string;
  /** 1 for the tenant's first grant; each next one names the file before it by hash. */
  readonly seq: number;
  /** Hex SHA-256 of the file before; absent for seq 1. */
  readonly previousGrantHash?: string;
  readonly tenant: TenantId;
  readonly instanceFingerprint: string;
  /** RFC 3339 UTC; the grant counts from `notBefore` to before `notAfter`. */
  readonly notBefore: string;
  readonly notAfter?: string;
}

export interface BaseGrant extends GrantCommon {
  readonly kind: 'BASE';
  readonly term: Term;
  /** Units of one period. */
  readonly quota: number;
  readonly allocations: readonly Allocation[];
  readonly entitlements: readonly string[];
}

/** More units a period, shares (each added to what the unit has) or rights for the grant it names, from `notBefore` for as long as that runs. */
export interface AddendumGrant extends GrantCommon {
  readonly kind: 'ADDENDUM';
  readonly addendumOf: string;
  readonly quota: number;
  readonly allocations: readonly Allocation[];
  readonly entitlements: readonly string[];
}

/** Ends consumption of a BASE grant from `notBefore`; one that names a REVOCATION undoes it from `notBefore`. */
export interface RevocationGrant extends GrantCommon {
  readonly kind: 'REVOCATION';
  readonly revokes: string;
}

/** Moves limits between units: these are all the shares of the grant it names from `notBefore`; use is never moved. */
export interface TransferGrant extends GrantCommon {
  readonly kind: 'TRANSFER';
  readonly addendumOf: string;
  readonly allocations: readonly Allocation[];
}

export type Grant = BaseGrant | AddendumGrant | RevocationGrant | TransferGrant;

/** A grant file as read, its signature not yet verified. */
export interface GrantFile extends Omit<SignedFile<Grant>, 'payload'> {
  readonly grant: Grant;
}

const integer =
  (min: number, max: number): Read<number> =>
  (value, path) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
      throw new ShapeFault(path, `an integer from ${min} to ${max} is expected`);
    return value;
  };
const name = text('1 to 64 letters, digits, ".", "_" or "-"', 64, /^[A-Za-z0-9._-]+$/);
const uuid = text('a UUID', 36, isUuid);
const hash = text('hex SHA-256', 64, /^[0-9a-f]{64}$/);
const instant = text('RFC 3339 UTC', 40, (value) => parseInstant(value) !== undefined);
const date = text('a calendar date, e.g. 2026-01-31', 10, /^\d{4}-\d\d-\d\d$/);
const zone = text('an IANA time zone', 64, isTimeZone);
const units = integer(0, Number.MAX_SAFE_INTEGER);
const allocation = object({ orgUnit: uuid as Read<OrgUnitId>, limit: units });
const allocations = list(allocation, MAX_ALLOCATIONS);
const entitlements = list(name, 64);

const terms = {
  MONTHLY: object({
    type: oneOf('MONTHLY'),
    count: integer(1, 1_200),
    anchorDate: date,
    timeZone: zone,
    rollover: units,
  }),
  ANNUAL: object({ type: oneOf('ANNUAL'), count: integer(1, 100), anchorDate: date, timeZone: zone, rollover: units }),
  MULTI_YEAR: object({ type: oneOf('MULTI_YEAR'), count: integer(1, 100), anchorDate: date, timeZone: zone }),
  PERPETUAL: object({ type: oneOf('PERPETUAL'), anchorDate: date, timeZone: zone }),
} as const satisfies Record<Term['type'], Read<Term>>;
const term: Read<Term> = (value, path) => terms[discriminant(value, path, 'type', TERM_TYPES)](value, path);

const common = {
  type: oneOf(GRANT_TYPE),
  grantId: name,
  seq: integer(1, 1_000_000),
  tenant: uuid as Read<TenantId>,
  instanceFingerprint: hash,
  notBefore: instant,
};
const optional = { previousGrantHash: hash, notAfter: instant };
const grants = {
  BASE: object({ ...common, kind: oneOf('BASE'), term, quota: units, allocations, entitlements }, optional),
  ADDENDUM: object(
    { ...common, kind: oneOf('ADDENDUM'), addendumOf: name, quota: units, allocations, entitlements },
    optional,
  ),
  REVOCATION: object({ ...common, kind: oneOf('REVOCATION'), revokes: name }, optional),
  TRANSFER: object({ ...common, kind: oneOf('TRANSFER'), addendumOf: name, allocations }, optional),
} as const satisfies Record<GrantKind, Read<Grant>>;

/** Reads a grant file strictly (`parseSignedFile`). Throws GRANT_MALFORMED with what stands where. */
export function parseGrantFile(file: string): GrantFile {
  const { payload, ...rest } = parseSignedFile(file, GRANT_TYP, readGrant);
  return { grant: payload, ...rest };
}

/** Hex SHA-256 of a grant file: what the next grant of the chain names. */
export const grantHash = fileHash;

/** What an issuer signs. The grant is read back strictly first: a file that no import accepts is never made. */
export function grantSigningInput(grant: Grant, kid: string): string {
  return signingInput(grant, kid, GRANT_TYP, readGrant);
}

const readGrant: Read<Grant> = (value, path) => {
  const grant = grants[discriminant(value, path, 'kind', GRANT_KINDS)](value, path);
  if ((grant.seq === 1) !== (grant.previousGrantHash === undefined))
    throw new ShapeFault(
      `${path}.previousGrantHash`,
      grant.seq === 1 ? 'seq 1 follows no grant' : 'the member is missing',
    );
  return grant;
};

function discriminant<const T extends string>(value: unknown, path: string, member: string, values: readonly T[]): T {
  if (typeof value !== 'object' || value === null) throw new ShapeFault(path, 'an object is expected');
  return oneOf(...values)((value as Record<string, unknown>)[member], `${path}.${member}`);
}

function isTimeZone(value: string): boolean {
  try {
    // Offsets such as "+01:00" are taken by Intl, but have no calendar of their own.
    return /^[A-Za-z]/.test(value) && new Intl.DateTimeFormat('en', { timeZone: value }) !== undefined;
  } catch {
    return false;
  }
}
