import { describe, expect, it } from '@jest/globals';
import type { OrgUnitId } from '../ids.ts';
import { explainWait, type WaitContext } from './explain-wait.ts';
import type { PeriodRoom } from './rooms.ts';

const [ROOT, LEFT, RIGHT] = ['root', 'left', 'right'] as unknown as [OrgUnitId, OrgUnitId, OrgUnitId];
const period = (quota: number, used: number, left?: [number, number]): PeriodRoom => ({
  grantId: 'g',
  n: 0,
  total: { quota, used },
  byUnit: new Map(left === undefined ? [] : [[LEFT, { quota: left[0], used: left[1] }]]),
});
const NONE: WaitContext = { periods: [], isRenewalAhead: false, isRevocationInTheWay: false, isListBlocking: false };
const explain = (context: Partial<WaitContext>, path = [ROOT, LEFT]) => explainWait(path, { ...NONE, ...context });

describe('why a unit waits', () => {
  it.each([
    ['no period', {}, 'no-licence', ['GRANT']],
    ['a period to come', { isRenewalAhead: true }, 'no-licence', ['GRANT', 'RENEWAL']],
    ['a revocation', { isRevocationInTheWay: true }, 'no-licence', ['GRANT', 'REVOCATION_UNDONE']],
    ['a full period', { periods: [period(5, 5)] }, 'quota-exhausted', ['ADDENDUM', 'GRANT']],
    [
      'an overdue list',
      { periods: [period(5, 0)], isListBlocking: true },
      'revocation-list-overdue',
      ['REVOCATION_LIST'],
    ],
    ['room', { periods: [period(5, 5), period(5, 4)] }, 'in-turn', []],
  ] as const)('%s', (_, context, cause, releasedBy) => {
    expect(explain(context)).toEqual({ cause, exhaustedUnit: null, releasedBy });
  });

  it('a full share, its own or one above it, while its sibling has room', () => {
    const periods = [period(10, 3, [2, 2])];
    expect(explain({ periods })).toEqual({
      cause: 'share-exhausted',
      exhaustedUnit: LEFT,
      releasedBy: ['SHARE', 'GRANT'],
    });
    expect(explain({ periods }, [ROOT, RIGHT])).toMatchObject({ cause: 'in-turn' });
  });

  it('a full period, not the share that is full beside it', () => {
    expect(explain({ periods: [period(2, 2, [2, 2])] })).toMatchObject({
      cause: 'quota-exhausted',
      exhaustedUnit: null,
    });
  });
});
