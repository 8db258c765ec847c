import { describe, expect, it } from '@jest/globals';
import type { ProofState } from '../domain/states.ts';
import { describeStages, describeSubmissionStages, type Stage, type StagesInput } from './stages.ts';

const RECEIVED = '2026-01-31T08:00:00.000000Z';
const receivedMs = Date.parse(RECEIVED);
const proof = (
  state: ProofState,
  steps: [ProofState, string][] = [],
  change: Partial<StagesInput> = {},
): StagesInput => ({
  state,
  anchorPolicy: 'REQUIRED',
  anchorWindow: 'express',
  receivedAt: RECEIVED,
  steps: steps.map(([reached, at]) => ({ state: reached, at })),
  ...change,
});
const statesOf = (stages: readonly Stage[]): string[] => stages.map(({ state }) => state);

describe('the stages of a proof', () => {
  it('are estimated in order until they are done or overdue', () => {
    const fresh = describeStages(proof('RECEIVED'), receivedMs);
    const etas = fresh.filter(({ stage }) => stage !== 'licence').map(({ eta }) => eta ?? '');
    expect(etas).toEqual([...etas].sort());
    const late = describeStages(proof('RECEIVED'), receivedMs + 2_000);
    expect(late.map(({ eta }) => eta === null)).toEqual([true, false, false, false, false]);
    const economy = describeStages(proof('RECEIVED', [], { anchorWindow: 'economy' }), receivedMs);
    expect(Date.parse(economy[2]?.eta ?? '') - receivedMs).toBeGreaterThan(3_600_000);
  });

  it('carry the times of the timeline, an anchor after the certificate too', () => {
    const steps: [ProofState, string][] = [
      ['SEALED', 'a'],
      ['TIMESTAMPED', 'b'],
      ['CERTIFIED_NO_ANCHOR', 'c'],
      ['ANCHORED', 'd'],
    ];
    const stages = describeStages(proof('CERTIFIED_NO_ANCHOR', steps, { anchorPolicy: 'PREFERRED' }), receivedMs);
    expect(stages.map(({ at }) => at)).toEqual(['a', 'b', 'd', 'c', 'c']);
    expect(statesOf(stages)).toEqual(Array(5).fill('done'));
  });

  it.each([
    [
      'NONE asks for no anchor',
      proof('SEALED', [['SEALED', 'a']], { anchorPolicy: 'NONE' }),
      ['done', 'pending', 'not-required', 'pending', 'pending'],
    ],
    [
      'the licence is waited for',
      proof('AWAITING_LICENSE', [
        ['SEALED', 'a'],
        ['TIMESTAMPED', 'b'],
        ['ANCHORED', 'c'],
        ['AWAITING_LICENSE', 'd'],
      ]),
      ['done', 'done', 'done', 'waiting', 'pending'],
    ],
    [
      'the first open stage failed',
      proof('FAILED', [
        ['SEALED', 'a'],
        ['FAILED', 'b'],
      ]),
      ['done', 'failed', 'stopped', 'stopped', 'stopped'],
    ],
    [
      'a cancelled proof stopped',
      proof('CANCELLED', [
        ['SEALED', 'a'],
        ['CANCELLED', 'b'],
      ]),
      ['done', 'stopped', 'stopped', 'stopped', 'stopped'],
    ],
    [
      'a certificate without anchor leaves the anchor to come',
      proof('CERTIFIED_NO_ANCHOR', [
        ['SEALED', 'a'],
        ['TIMESTAMPED', 'b'],
        ['CERTIFIED_NO_ANCHOR', 'c'],
      ]),
      ['done', 'done', 'pending', 'done', 'done'],
    ],
  ] as const)('say that %s', (_name, input, expected) => {
    expect(statesOf(describeStages(input, receivedMs))).toEqual(expected);
  });
});

describe('the stages of a submission', () => {
  const submission = { anchorPolicy: 'REQUIRED', anchorWindow: 'express', receivedAt: RECEIVED } as const;
  it('are those of its slowest proof that still goes on', () => {
    const of = (...states: ProofState[]): string[] =>
      statesOf(describeSubmissionStages(submission, states, receivedMs));
    expect(of('RECEIVED', 'CERTIFIED')).toEqual(Array(5).fill('pending'));
    expect(of('SEALED', 'TIMESTAMPED', 'FAILED')).toEqual(['done', 'pending', 'pending', 'pending', 'pending']);
    expect(of('ANCHORED', 'CERTIFIED')).toEqual(['done', 'done', 'done', 'pending', 'pending']);
    expect(of('CERTIFIED', 'AWAITING_LICENSE')).toEqual(['done', 'done', 'pending', 'waiting', 'pending']);
    expect(of('CERTIFIED', 'CANCELLED')).toEqual(Array(5).fill('done'));
    expect(of('CANCELLED', 'REJECTED')).toEqual(Array(5).fill('stopped'));
  });
});
