import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { canonicalText } from '../canonical-json.ts';
import type { OrgUnitId, TenantId } from '../ids.ts';
import { type Grant, grantSigningInput } from './grant.ts';
import { type RevocationList, revocationListSigningInput } from './revocation-list.ts';

const compile = (file: string) =>
  new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')));
const isGrantValid = compile('./grant.schema.json');
const isListValid = compile('./revocation-list.schema.json');

const UUID = '11111111-1111-4111-8111-111111111111';
const base = {
  type: 'proofline/grant/v1',
  grantId: 'g',
  seq: 1,
  tenant: UUID as string as TenantId,
  instanceFingerprint: 'a'.repeat(64),
  notBefore: '2026-01-01T00:00:00Z',
} as const;
const rights = { quota: 5, allocations: [{ orgUnit: UUID as string as OrgUnitId, limit: 3 }], entitlements: ['pdf'] };
const calendar = { anchorDate: '2026-01-31', timeZone: 'Europe/Paris' };
const GRANTS: readonly Grant[] = [
  { ...base, kind: 'BASE', ...rights, term: { type: 'MONTHLY', count: 12, rollover: 2, ...calendar } },
  { ...base, kind: 'BASE', ...rights, term: { type: 'ANNUAL', count: 1, rollover: 0, ...calendar } },
  { ...base, kind: 'BASE', ...rights, term: { type: 'MULTI_YEAR', count: 3, ...calendar } },
  { ...base, kind: 'BASE', ...rights, term: { type: 'PERPETUAL', ...calendar }, notAfter: '2030-01-01T00:00:00Z' },
  { ...base, kind: 'ADDENDUM', addendumOf: 'g', ...rights, seq: 2, previousGrantHash: 'b'.repeat(64) },
  { ...base, kind: 'REVOCATION', revokes: 'g' },
  { ...base, kind: 'TRANSFER', addendumOf: 'g', allocations: rights.allocations },
];

const LISTS: readonly RevocationList[] = [[], ['g'], ['h', 'i']].map((revoked) => ({
  type: 'proofline/grant-revocations/v1',
  number: 7,
  instanceFingerprint: 'a'.repeat(64),
  issuedAt: '2026-01-01T00:00:00Z',
  nextUpdate: '2026-02-01T00:00:00.5Z',
  revoked: revoked.map((grantId) => ({ grantId, from: '2026-01-01T00:00:00Z' })),
}));

const succeeds = (work: () => unknown): boolean => {
  try {
    work();
    return true;
  } catch {
    return false;
  }
};
const isGrantRead = (grant: unknown) => succeeds(() => grantSigningInput(grant as Grant, 'k1'));
const isListRead = (list: unknown) => succeeds(() => revocationListSigningInput(list as RevocationList, 'k1'));

/** Every path to a member of an object or array. */
function paths(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [[...at, key], ...paths(inner, [...at, key])]);
}

function change(grant: unknown, path: readonly string[], to: unknown): unknown {
  const copy = JSON.parse(canonicalText(grant));
  let parent = copy;
  for (const key of path.slice(0, -1)) parent = parent[key];
  const last = path.at(-1) ?? '';
  if (to === undefined && Array.isArray(parent)) parent.splice(Number(last), 1);
  else if (to === undefined) delete parent[last];
  else parent[last] = to;
  return copy;
}

const hostile = fc.constantFrom(
  ...[
    undefined,
    null,
    true,
    0,
    1,
    -1,
    1.5,
    1201,
    1e9 + 1,
    2 ** 53,
    '',
    'x',
    'g',
    '2026-01-01T00:00:00Z',
    '2026-13',
    UUID,
  ],
  ...['a'.repeat(64), 'MONTHLY', 'ANNUAL', 'MULTI_YEAR', 'PERPETUAL', 'BASE', 'TRANSFER', [], {}, ['pdf', 'é']],
);

describe('the published schema of a grant', () => {
  it('takes what the parser takes', () => {
    for (const grant of GRANTS) expect([isGrantRead(grant), isGrantValid(grant)]).toEqual([true, true]);
  });

  it('agrees with the parser on whatever else stands in the place of a member, or beside it', () => {
    const changed = fc.constantFrom(...GRANTS).chain((grant) =>
      fc
        .record({ path: fc.constantFrom(...paths(grant), ['more'], ['term', 'more'], ['previousGrantHash']), hostile })
        // Which names are time zones is beyond a schema.
        .filter(({ path }) => (path[0] !== 'term' || 'term' in grant) && path[1] !== 'timeZone')
        .map(({ path, hostile: to }) => change(grant, path, to)),
    );
    fc.assert(
      fc.property(changed, (grant) => {
        expect({ grant, verdict: isGrantValid(grant) }).toEqual({ grant, verdict: isGrantRead(grant) });
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the published schema of a revocation list', () => {
  it('takes what the parser takes', () => {
    for (const list of LISTS) expect([isListRead(list), isListValid(list)]).toEqual([true, true]);
  });

  it('agrees with the parser on whatever else stands in the place of a member, or beside it', () => {
    const changed = fc
      .constantFrom(...LISTS)
      .chain((list) =>
        fc
          .record({ path: fc.constantFrom(...paths(list), ['more']), hostile })
          .map(({ path, hostile: to }) => change(list, path, to)),
      );
    fc.assert(
      fc.property(changed, (list) => {
        expect({ list, verdict: isListValid(list) }).toEqual({ list, verdict: isListRead(list) });
      }),
      { numRuns: 2_000 },
    );
  });

  it('leaves to the parser that a grant is named once', () => {
    const [list] = LISTS;
    const twice = { ...list, revoked: ['01', '02'].map((day) => ({ grantId: 'g', from: `2026-01-${day}T00:00:00Z` })) };
    expect([isListRead(twice), isListValid(twice)]).toEqual([false, true]);
  });
});
