import { describe, expect, it } from '@jest/globals';
import type { OrgUnitId, TenantId } from '../ids.ts';
import { checkGrant, type GrantContext } from './check-grant.ts';
import type { BaseGrant, Term } from './grant.ts';
import { MAX_QUOTA } from './quota.ts';

const [ROOT, LEFT, RIGHT, LEAF] = ['root', 'left', 'right', 'leaf'] as unknown as OrgUnitId[] as [
  OrgUnitId,
  OrgUnitId,
  OrgUnitId,
  OrgUnitId,
];
const PATHS = new Map<OrgUnitId, readonly OrgUnitId[]>([
  [ROOT, [ROOT]],
  [LEFT, [ROOT, LEFT]],
  [RIGHT, [ROOT, RIGHT]],
  [LEAF, [ROOT, LEFT, LEAF]],
]);
const TERM: Term = { type: 'ANNUAL', count: 2, anchorDate: '2026-01-01', timeZone: 'UTC', rollover: 0 };
const GRANT: BaseGrant = {
  type: 'proofline/grant/v1',
  kind: 'BASE',
  grantId: 'g1',
  seq: 1,
  tenant: 't' as TenantId,
  instanceFingerprint: 'f',
  term: TERM,
  quota: 100,
  allocations: [],
  entitlements: [],
  notBefore: '2026-01-01T00:00:00Z',
};
const CONTEXT: GrantContext = {
  instanceFingerprint: 'f',
  nowMs: Date.parse('2026-06-01T00:00:00Z'),
  isTenantKnown: true,
  pathOf: (unit) => PATHS.get(unit),
};
const share = (orgUnit: OrgUnitId, limit: number) => ({ orgUnit, limit });
const check =
  (grant: Partial<BaseGrant>, context: Partial<GrantContext> = {}) =>
  () =>
    checkGrant({ ...GRANT, ...grant }, 'h', { ...CONTEXT, ...context });

describe('a grant', () => {
  it('that fits is taken as it is', () => {
    expect(check({})()).toBe('fits');
  });

  it('that was imported before changes nothing, whatever else holds', () => {
    expect(check({ seq: 9 }, { sameId: 'h' })()).toBe('unchanged');
  });

  it.each<[string, string, Partial<BaseGrant>, Partial<GrantContext>]>([
    ['for another instance', 'GRANT_WRONG_INSTANCE', { instanceFingerprint: 'e' }, {}],
    ['for a tenant of nobody', 'GRANT_TENANT_UNKNOWN', {}, { isTenantKnown: false }],
    ['under the id of another', 'GRANT_ID_REUSED', {}, { sameId: 'other' }],
    ['with seq 2 before seq 1', 'GRANT_CHAIN_BROKEN: the grant has seq 2, but seq 1 is missing', { seq: 2 }, {}],
    [
      'with a gap',
      'seq 2 to 3 are missing; it follows the file with hash p',
      { seq: 4, previousGrantHash: 'p' },
      { last: { grantId: 'g0', seq: 1, hash: 'l' } },
    ],
    [
      'with a seq that is taken',
      'GRANT_SEQ_TAKEN: the grant has seq 1, which is taken; the next is seq 2 after hash l',
      { seq: 1 },
      { last: { grantId: 'g0', seq: 1, hash: 'l' } },
    ],
    [
      'that follows another file',
      'GRANT_CHAIN_FORKED: the grant follows hash p, the last one here is g0 with hash l',
      { seq: 2, previousGrantHash: 'p' },
      { last: { grantId: 'g0', seq: 1, hash: 'l' } },
    ],
    ['that ends before it begins', 'GRANT_DATES_INVALID', { notAfter: '2025-12-31T00:00:00Z' }, {}],
    ['that has ended', 'the grant ended at', { notAfter: '2026-05-31T00:00:00Z' }, {}],
    ['whose term is over', 'its term ended at 2028-01-01', {}, { nowMs: Date.parse('2028-01-01T00:00:00Z') }],
    ['whose term ends before notBefore', 'before notBefore', { notBefore: '2028-01-01T00:00:00Z' }, {}],
    [
      'whose term begins after notAfter',
      'after notAfter',
      { notAfter: '2026-12-31T00:00:00Z', term: { ...TERM, anchorDate: '2027-01-01' } },
      {},
    ],
    ['with an anchor that is no day', 'GRANT_DATES_INVALID', { term: { ...TERM, anchorDate: '2026-02-30' } }, {}],
    ['that names a unit twice', 'is named twice', { allocations: [share(LEFT, 1), share(LEFT, 2)] }, {}],
    ['that names a foreign unit', 'is none of this tenant', { allocations: [share('x' as OrgUnitId, 1)] }, {}],
    ['whose share exceeds the quota', 'the quota has 100', { allocations: [share(ROOT, 101)] }, {}],
    ['whose shares together exceed the quota', '120', { allocations: [share(LEFT, 60), share(RIGHT, 60)] }, {}],
    ['whose share exceeds its parent', 'unit left has 10', { allocations: [share(LEFT, 10), share(LEAF, 11)] }, {}],
    ['whose share exceeds one further up', 'unit root has 5', { allocations: [share(ROOT, 5), share(LEAF, 6)] }, {}],
    ['without units', 'GRANT_QUOTA_INVALID', { quota: 0 }, {}],
    ['with more units than can be summed', 'GRANT_QUOTA_INVALID', { quota: MAX_QUOTA + 1 }, {}],
    ['with more rollover than quota', 'rollover', { term: { ...TERM, rollover: 101 } }, {}],
  ])('%s is refused', (_, message, grant, context) => {
    expect(check(grant, context)).toThrow(message);
  });

  it('fails by the first check in the order of the design', () => {
    const wrong = { instanceFingerprint: 'e', seq: 5, notAfter: '2025-01-01T00:00:00Z', quota: 0 };
    const order = [
      [wrong, { sameId: 'x' }, 'GRANT_WRONG_INSTANCE'],
      [{ ...wrong, instanceFingerprint: 'f' }, { sameId: 'x' }, 'GRANT_ID_REUSED'],
      [{ ...wrong, instanceFingerprint: 'f' }, {}, 'GRANT_CHAIN_BROKEN'],
      [{ ...wrong, instanceFingerprint: 'f', seq: 1 }, {}, 'GRANT_DATES_INVALID'],
      [{ quota: 0, allocations: [share(LEFT, 1)] }, {}, 'GRANT_ALLOCATION_INVALID'],
      [{ quota: 0 }, {}, 'GRANT_QUOTA_INVALID'],
    ] as const;
    for (const [grant, context, code] of order) expect(check(grant, context)).toThrow(code);
  });
});
