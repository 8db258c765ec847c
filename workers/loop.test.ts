import { describe, expect, it } from '@jest/globals';
import { startLoop } from './loop.ts';

const NEVER_MS = 3_600_000;

describe('startLoop', () => {
  it('takes turns at once while a turn asks for more', async () => {
    let turns = 0;
    const done = Promise.withResolvers<void>();
    const loop = startLoop({
      everyMs: NEVER_MS,
      onError: () => undefined,
      turn: async () => {
        if (++turns === 5) done.resolve();
        return turns < 5;
      },
    });
    await done.promise;
    await loop.stop();
    expect(turns).toBe(5);
  });

  it('goes on after a turn that throws, and reports it', async () => {
    const errors: unknown[] = [];
    let turns = 0;
    const reported = Promise.withResolvers<void>();
    const again = Promise.withResolvers<void>();
    const loop = startLoop({
      everyMs: NEVER_MS,
      onError: (error) => {
        errors.push(error);
        reported.resolve();
      },
      turn: async () => {
        if (++turns === 1) throw new Error('lost');
        again.resolve();
      },
    });
    await reported.promise;
    loop.wake();
    await again.promise;
    await loop.stop();
    expect(errors).toEqual([new Error('lost')]);
  });

  it('keeps a wake that comes during a turn', async () => {
    let turns = 0;
    const second = Promise.withResolvers<void>();
    const loop = startLoop({
      everyMs: NEVER_MS,
      onError: () => undefined,
      turn: async () => {
        if (++turns === 1) loop.wake();
        else second.resolve();
      },
    });
    await second.promise;
    await loop.stop();
    expect(turns).toBe(2);
  });

  it('stops only after the turn under way', async () => {
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    let ended = false;
    const loop = startLoop({
      everyMs: NEVER_MS,
      onError: () => undefined,
      turn: async () => {
        begun.resolve();
        await end.promise;
        ended = true;
      },
    });
    await begun.promise;
    const stopped = loop.stop();
    end.resolve();
    await stopped;
    expect(ended).toBe(true);
  });
});
