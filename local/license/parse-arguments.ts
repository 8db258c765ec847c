import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { ProoflineError } from '../../domain/errors.ts';
import type { OrgUnitId, TenantId } from '../../domain/ids.ts';
import {
  type Allocation,
  GRANT_KINDS,
  GRANT_TYPE,
  type Grant,
  type GrantKind,
  TERM_TYPES,
  type Term,
} from '../../domain/licence/grant.ts';
import { instanceFingerprint } from '../../domain/licence/issuers.ts';
import { REVOCATION_LIST_TYPE, type RevocationList } from '../../domain/licence/revocation-list.ts';

const NONE: string[] = [];
const OPTIONS = {
  key: { type: 'string' },
  kind: { type: 'string', default: 'BASE' },
  id: { type: 'string' },
  tenant: { type: 'string' },
  instance: { type: 'string' },
  fingerprint: { type: 'string' },
  seq: { type: 'string', default: '1' },
  previous: { type: 'string' },
  quota: { type: 'string' },
  term: { type: 'string', default: 'PERPETUAL' },
  count: { type: 'string' },
  anchor: { type: 'string' },
  zone: { type: 'string', default: 'UTC' },
  rollover: { type: 'string', default: '0' },
  allocation: { type: 'string', multiple: true, default: NONE },
  entitlement: { type: 'string', multiple: true, default: NONE },
  'not-before': { type: 'string' },
  'not-after': { type: 'string' },
  'addendum-of': { type: 'string' },
  revokes: { type: 'string' },
} as const;

const LIST_OPTIONS = {
  key: { type: 'string' },
  number: { type: 'string' },
  instance: { type: 'string' },
  fingerprint: { type: 'string' },
  revoke: { type: 'string', multiple: true, default: NONE },
  'issued-at': { type: 'string' },
  'next-update': { type: 'string' },
} as const;
/** Until the next list is due, unless told otherwise. */
const LIST_LASTS_MS = 30 * 86_400_000;

type Values = ReturnType<typeof parseValues<typeof OPTIONS>>;

/** What a grant falls back on where an option is left out. */
export interface Fallbacks {
  /** RFC 3339 UTC: `--not-before`. */
  readonly now: string;
  /** `--id`. */
  readonly grantId: string;
  /** The instance that runs on this machine: `--instance`. */
  readonly instance?: string;
}

/** Reads the options of `issue`: the grant, and the file of the key that signs it. Throws CONFIG_INVALID naming the option. */
export function parseIssueArguments(args: readonly string[], fallbacks: Fallbacks): { grant: Grant; keyFile: string } {
  const values = parseValues(args, OPTIONS);
  const kind = choose('kind', values.kind, GRANT_KINDS);
  const common = {
    type: GRANT_TYPE,
    grantId: values.id ?? fallbacks.grantId,
    seq: integer('seq', values.seq),
    ...(values.previous !== undefined && { previousGrantHash: values.previous }),
    tenant: need('tenant', values.tenant) as TenantId,
    instanceFingerprint: fingerprint(values, fallbacks),
    notBefore: values['not-before'] ?? fallbacks.now,
    ...(values['not-after'] !== undefined && { notAfter: values['not-after'] }),
  } as const;
  const allocations = values.allocation.map(parseAllocation);
  const grants: Record<GrantKind, () => Grant> = {
    BASE: () => ({
      ...common,
      kind: 'BASE',
      term: parseTerm(values, fallbacks.now),
      quota: integer('quota', values.quota),
      allocations,
      entitlements: values.entitlement,
    }),
    ADDENDUM: () => ({
      ...common,
      kind: 'ADDENDUM',
      addendumOf: need('addendum-of', values['addendum-of']),
      quota: integer('quota', values.quota),
      allocations,
      entitlements: values.entitlement,
    }),
    REVOCATION: () => ({ ...common, kind: 'REVOCATION', revokes: need('revokes', values.revokes) }),
    TRANSFER: () => ({
      ...common,
      kind: 'TRANSFER',
      addendumOf: need('addendum-of', values['addendum-of']),
      allocations,
    }),
  };
  return { grant: grants[kind](), keyFile: need('key', values.key) };
}

/** Reads the options of `issue-list`. Throws CONFIG_INVALID naming the option. */
export function parseListArguments(
  args: readonly string[],
  fallbacks: Omit<Fallbacks, 'grantId'>,
): { list: RevocationList; keyFile: string } {
  const values = parseValues(args, LIST_OPTIONS);
  const issuedAt = values['issued-at'] ?? fallbacks.now;
  const due = new Date(Date.parse(issuedAt) + LIST_LASTS_MS);
  const list: RevocationList = {
    type: REVOCATION_LIST_TYPE,
    number: integer('number', values.number),
    instanceFingerprint: fingerprint(values, fallbacks),
    issuedAt,
    nextUpdate: values['next-update'] ?? (Number.isNaN(due.getTime()) ? '' : due.toISOString()),
    revoked: values.revoke.map((text) => {
      const [grantId = '', from = issuedAt] = text.split('=');
      return { grantId, from };
    }),
  };
  return { list, keyFile: need('key', values.key) };
}

function parseValues<const T extends ParseArgsOptionsConfig>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
}

function parseTerm(values: Values, now: string): Term {
  const anchorDate = values.anchor ?? now.slice(0, 10);
  const timeZone = values.zone;
  const type = choose('term', values.term, TERM_TYPES);
  if (type === 'PERPETUAL') return { type, anchorDate, timeZone };
  const count = integer('count', values.count);
  if (type === 'MULTI_YEAR') return { type, count, anchorDate, timeZone };
  return { type, count, anchorDate, timeZone, rollover: integer('rollover', values.rollover) };
}

/** `UNIT=LIMIT`. */
function parseAllocation(text: string): Allocation {
  const [unit = '', limit] = text.split('=');
  return { orgUnit: unit as OrgUnitId, limit: integer('allocation', limit) };
}

function fingerprint(
  values: { readonly fingerprint?: string | undefined; readonly instance?: string | undefined },
  fallbacks: { readonly instance?: string },
): string {
  if (values.fingerprint !== undefined) return values.fingerprint;
  return instanceFingerprint(need('instance" or "--fingerprint', values.instance ?? fallbacks.instance));
}

function choose<const T extends string>(option: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw invalid(`"--${option}" takes one of ${choices.join(', ')}`);
  return found;
}

function integer(option: string, value: string | undefined): number {
  const text = need(option, value);
  const number = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(number)) throw invalid(`"--${option}" takes a whole number`);
  return number;
}

function need(option: string, value: string | undefined): string {
  if (value === undefined || value === '') throw invalid(`"--${option}" is missing`);
  return value;
}

function invalid(detail: string): ProoflineError {
  return new ProoflineError('CONFIG_INVALID', detail);
}
