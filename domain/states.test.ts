import { describe, expect, it } from '@jest/globals';
import { ProoflineError } from './errors.ts';
import {
  checkTransition,
  FINAL_STATES,
  isFinal,
  mayFollow,
  NEXT,
  resolveAnchorPolicy,
  STATES,
  statesBefore,
} from './states.ts';

describe('the life of a proof', () => {
  it('ends in exactly the final states', () => {
    expect(STATES.filter(isFinal).sort()).toEqual([...FINAL_STATES].sort());
  });

  it('reaches every state from RECEIVED', () => {
    const reached = new Set<string>(['RECEIVED']);
    for (let size = 0; size !== reached.size; ) {
      size = reached.size;
      for (const state of STATES) if (reached.has(state)) for (const next of NEXT[state]) reached.add(next);
    }
    expect(reached.size).toBe(STATES.length);
  });

  it('never calls an anchored proof one without an anchor', () => {
    expect(mayFollow('ANCHORED', 'CERTIFIED_NO_ANCHOR')).toBe(false);
  });

  it('applies evidence in the order seal, timestamp, anchor', () => {
    expect(statesBefore('SEALED')).toEqual(['RECEIVED', 'FAILED']);
    expect(statesBefore('TIMESTAMPED')).toEqual(['SEALED', 'FAILED']);
    expect(statesBefore('ANCHORED')).toEqual(['TIMESTAMPED', 'FAILED']);
  });

  it('refuses what the table does not hold, by code', () => {
    expect(() => checkTransition('CERTIFIED', 'CANCELLED')).toThrow(ProoflineError);
    expect(() => checkTransition('SEALED', 'TIMESTAMPED')).not.toThrow();
  });
});

describe('resolveAnchorPolicy', () => {
  it("takes the tenant's where nothing is asked", () => {
    expect(resolveAnchorPolicy('PREFERRED', undefined, false)).toBe('PREFERRED');
  });

  it('always lets a submission strengthen it', () => {
    expect(resolveAnchorPolicy('NONE', 'REQUIRED', false)).toBe('REQUIRED');
  });

  it('lets a submission weaken it only where the tenant allows', () => {
    expect(resolveAnchorPolicy('REQUIRED', 'NONE', true)).toBe('NONE');
    expect(() => resolveAnchorPolicy('REQUIRED', 'NONE', false)).toThrow(
      expect.objectContaining({ code: 'ANCHOR_POLICY_NOT_ALLOWED' }),
    );
  });
});
