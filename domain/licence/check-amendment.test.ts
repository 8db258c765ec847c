import { describe, expect, it } from '@jest/globals';
import type { OrgUnitId, TenantId } from '../ids.ts';
import { type AmendedGrant, type Amendment, addShares, checkAmendment } from './check-amendment.ts';
import { MAX_QUOTA } from './quota.ts';

const [ROOT, LEFT, LEAF] = ['root', 'left', 'leaf'] as unknown as [OrgUnitId, OrgUnitId, OrgUnitId];
const PATHS = new Map<OrgUnitId, readonly OrgUnitId[]>([
  [ROOT, [ROOT]],
  [LEFT, [ROOT, LEFT]],
  [LEAF, [ROOT, LEFT, LEAF]],
]);
const share = (orgUnit: OrgUnitId, limit: number) => ({ orgUnit, limit });
const COMMON = {
  type: 'proofline/grant/v1',
  grantId: 'a1',
  seq: 2,
  previousGrantHash: 'p',
  tenant: 't' as TenantId,
  instanceFingerprint: 'f',
  notBefore: '2026-01-01T00:00:00Z',
} as const;
const ADDENDUM = {
  ...COMMON,
  kind: 'ADDENDUM',
  addendumOf: 'g1',
  quota: 50,
  allocations: [],
  entitlements: [],
} as const;
const TRANSFER = { ...COMMON, kind: 'TRANSFER', addendumOf: 'g1', allocations: [share(LEFT, 80)] } as const;
const REVOCATION = { ...COMMON, kind: 'REVOCATION', revokes: 'g1' } as const;
const TARGET: AmendedGrant = {
  grantId: 'g1',
  kind: 'BASE',
  isRevoked: false,
  endsAtMs: Date.parse('2027-01-01T00:00:00Z'),
  units: 100,
  shares: [share(ROOT, 100), share(LEFT, 60)],
  usedOf: (unit) => (unit === LEFT ? 20 : 0),
};
const NOW = Date.parse('2026-06-01T00:00:00Z');
const check = (grant: Amendment, target: AmendedGrant | undefined = TARGET) =>
  checkAmendment(grant, { nowMs: NOW, pathOf: (unit) => PATHS.get(unit), ...(target && { target }) });

describe('an amendment', () => {
  it.each([[ADDENDUM], [TRANSFER], [REVOCATION]] as const)('that fits is taken: $kind', (grant) => {
    expect(() => check(grant)).not.toThrow();
  });

  it('undoes a revocation of a BASE grant', () => {
    expect(() => check(REVOCATION, { ...TARGET, kind: 'REVOCATION', targetKind: 'BASE' })).not.toThrow();
  });

  it.each<[string, string, Amendment, Partial<AmendedGrant>]>([
    ['of a revoked grant', 'g1 is revoked', ADDENDUM, { isRevoked: true }],
    ['that revokes what is revoked', 'g1 is revoked', REVOCATION, { isRevoked: true }],
    ['that adds to an addendum', 'is a grant of kind ADDENDUM, not BASE', ADDENDUM, { kind: 'ADDENDUM' }],
    ['that revokes an addendum', 'can be revoked', REVOCATION, { kind: 'ADDENDUM' }],
    [
      'that undoes an undoing',
      'revoke the BASE grant again',
      REVOCATION,
      { kind: 'REVOCATION', targetKind: 'REVOCATION' },
    ],
    ['with an end of its own', 'it has no notAfter', { ...ADDENDUM, notAfter: '2028-01-01T00:00:00Z' }, {}],
    ['of a grant that has ended', 'before this takes effect', TRANSFER, { endsAtMs: NOW }],
    [
      'that begins when its grant has ended',
      'GRANT_DATES_INVALID',
      { ...ADDENDUM, notBefore: '2027-01-01T00:00:00Z' },
      {},
    ],
    ['that adds nothing', 'adds nothing', { ...ADDENDUM, quota: 0 }, {}],
    ['that adds more than can be summed', 'GRANT_QUOTA_INVALID', { ...ADDENDUM, quota: MAX_QUOTA }, {}],
    [
      'whose added share exceeds what its parent has',
      'unit left has 60, its shares together have 61',
      { ...ADDENDUM, allocations: [share(LEAF, 61)] },
      {},
    ],
    [
      'that moves less than was used',
      'GRANT_ALLOCATION_BELOW_USE: unit left has used 20',
      { ...TRANSFER, allocations: [share(LEFT, 19)] },
      {},
    ],
    ['that moves more than there is', 'GRANT_ALLOCATION_INVALID', { ...TRANSFER, allocations: [share(LEFT, 101)] }, {}],
  ])('%s is refused', (_, message, grant, target) => {
    expect(() => check(grant, { ...TARGET, ...target })).toThrow(message);
  });

  it('of a grant that is not there is refused by its name', () => {
    expect(() => checkAmendment(ADDENDUM, { nowMs: NOW, pathOf: () => undefined })).toThrow(
      'GRANT_REFERENCE_INVALID: there is no grant g1 of this tenant',
    );
  });

  it('adds to the share that a unit has', () => {
    expect(addShares(TARGET.shares, [share(LEFT, 5), share(LEAF, 1)])).toEqual([
      share(ROOT, 100),
      share(LEFT, 65),
      share(LEAF, 1),
    ]);
  });
});
