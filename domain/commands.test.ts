import { describe, expect, it } from '@jest/globals';
import { COMMAND_VERBS, type CommandVerb, decideCommand, type ProofFacts } from './commands.ts';
import { mayFollow, type ProofState, STATES } from './states.ts';

const facts = (state: ProofState, more: Partial<ProofFacts> = {}): ProofFacts => ({
  state,
  anchorPolicy: 'REQUIRED',
  isDrafted: false,
  isReleased: false,
  failedStage: state === 'FAILED' ? 'SEALED' : null,
  evidence: 'RECEIVED',
  ...more,
});
const OPEN = ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE', 'FAILED'] as const;
const WHERE: Record<CommandVerb, readonly ProofState[]> = {
  cancel: OPEN,
  reject: OPEN,
  retry: ['FAILED'],
  'certify-without-anchor': ['TIMESTAMPED'],
};

describe.each(COMMAND_VERBS)('%s', (verb) => {
  it.each(STATES)('of a proof that is %s is allowed or refused with the reason', (state) => {
    const decision = decideCommand(verb, facts(state));
    if (WHERE[verb].includes(state)) expect(decision.effect).not.toBe('refuse');
    else {
      expect(decision).toMatchObject({ effect: 'refuse', code: 'TRANSITION_NOT_ALLOWED' });
      expect(decision.effect === 'refuse' && decision.detail).toMatch(/^it |^its /);
    }
    if (decision.effect === 'end') expect(mayFollow(state, decision.to)).toBe(true);
    if (decision.effect === 'retry') for (const next of decision.through) expect(mayFollow('FAILED', next)).toBe(true);
  });

  it('is refused once the certificate is drafted', () => {
    for (const state of OPEN)
      expect(decideCommand(verb, facts(state, { isDrafted: true }))).toMatchObject({
        effect: 'refuse',
        detail: expect.stringContaining('drafted'),
      });
  });
});

describe('a retry', () => {
  const through = (failedStage: string | null, evidence: ProofFacts['evidence']) =>
    decideCommand('retry', facts('FAILED', { failedStage, evidence }));

  it('goes back to the state before the failed stage', () => {
    expect(through('SEALED', 'RECEIVED')).toMatchObject({ through: ['RECEIVED'] });
    expect(through('TIMESTAMPED', 'SEALED')).toMatchObject({ through: ['SEALED'] });
    expect(through('ANCHORED', 'TIMESTAMPED')).toMatchObject({ through: ['TIMESTAMPED'] });
    expect(through('CERTIFIED', 'ANCHORED')).toMatchObject({ through: ['ANCHORED'] });
  });

  it('takes up the evidence that came while the proof had failed', () => {
    expect(through('TIMESTAMPED', 'ANCHORED')).toMatchObject({ through: ['SEALED', 'TIMESTAMPED', 'ANCHORED'] });
  });

  it('never claims evidence that is not there', () => {
    expect(through('CERTIFIED', 'SEALED')).toMatchObject({ through: ['SEALED'] });
    expect(through('ANCHORED', 'RECEIVED')).toMatchObject({ through: ['RECEIVED'] });
    expect(through(null, 'RECEIVED')).toMatchObject({ through: ['RECEIVED'] });
  });
});

describe('a release', () => {
  it('is refused where nothing waits for an anchor', () => {
    for (const more of [{ anchorPolicy: 'NONE' }, { isReleased: true }] as const)
      expect(decideCommand('certify-without-anchor', facts('TIMESTAMPED', more)).effect).toBe('refuse');
  });
});
