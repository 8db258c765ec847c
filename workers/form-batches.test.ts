import { describe, expect, it } from '@jest/globals';
import type { Lane } from '../domain/lane.ts';
import type { FormOutcome } from '../store/form-batch.ts';
import { createForming, HOLD_MS, TURN_MS } from './form-batches.ts';

/** A queue of classes that wait and have no batch to join, and a clock moved by hand. */
function createScene() {
  const scene = {
    atMs: 10_000,
    waiting: 0,
    lane: 'prompt' as Lane,
    formed: [] as boolean[],
    next: undefined as FormOutcome | undefined,
  };
  const turn = createForming({
    elapsedMs: () => scene.atMs,
    async form(joinable): Promise<FormOutcome> {
      const forced = scene.next;
      scene.next = undefined;
      if (forced !== undefined) return forced;
      if (scene.waiting === 0) return 'nothing';
      scene.waiting--;
      scene.formed.push(joinable.has(scene.lane));
      return scene.lane;
    },
  });
  return { scene, turn };
}

describe('forming batches', () => {
  it('forms the first after a rest at once, final', async () => {
    const { scene, turn } = createScene();
    scene.waiting = 1;
    await turn();
    scene.atMs += HOLD_MS;
    scene.waiting = 1;
    await turn();
    expect(scene.formed).toEqual([false, false]);
  });

  it('forms two that come soon after each other at once, and a third open to joiners', async () => {
    const { scene, turn } = createScene();
    for (let n = 0; n < 3; n++) {
      scene.waiting = 1;
      await turn();
      scene.atMs += HOLD_MS / 2 - 1;
    }
    expect(scene.formed).toEqual([false, false, true]);
  });

  it('forms batches open to joiners for as long as they come, every class of a turn', async () => {
    const { scene, turn } = createScene();
    scene.waiting = 3;
    await turn();
    for (let n = 0; n < 2; n++) {
      scene.atMs += HOLD_MS - 1;
      scene.waiting = 2;
      await turn();
    }
    expect(scene.formed).toEqual([false, false, true, true, true, true, true]);
    scene.atMs += HOLD_MS;
    scene.waiting = 1;
    await turn();
    expect(scene.formed.at(-1)).toBe(false);
  });

  it.each(['crowd', 'large'] as const)(
    'forms one that comes beside a flood of the lane %s as after a rest',
    async (flood) => {
      const { scene, turn } = createScene();
      for (let n = 0; n < 5; n++) {
        scene.lane = flood;
        scene.waiting = 1;
        scene.atMs += await turn();
        await turn();
      }
      scene.formed = [];
      scene.lane = 'prompt';
      scene.waiting = 1;
      scene.atMs += await turn();
      await turn();
      expect(scene.formed).toEqual([false]);
    },
  );

  it('never leaves large submissions open to joiners', async () => {
    const { scene, turn } = createScene();
    scene.lane = 'large';
    scene.waiting = 4;
    expect(await turn()).toBe(0);
    expect(scene.formed).toEqual([false, false, false, false]);
  });

  it('takes no turn too soon after the last under load, and says when the next is', async () => {
    const { scene, turn } = createScene();
    scene.waiting = 1;
    await turn();
    scene.waiting = 1;
    scene.atMs += 1;
    const restMs = await turn();
    expect(restMs).toBe(TURN_MS - 1);
    expect(scene.formed).toHaveLength(1);
    scene.atMs += restMs;
    await turn();
    expect(scene.formed).toHaveLength(2);
  });

  it('comes back soon when another is at the queue', async () => {
    const { scene, turn } = createScene();
    scene.waiting = 1;
    scene.next = 'busy';
    scene.atMs += await turn();
    await turn();
    expect(scene.formed).toEqual([false]);
  });

  it('asks for no rest after a turn that formed nothing', async () => {
    const { scene, turn } = createScene();
    scene.next = 'full';
    expect(await turn()).toBe(0);
    scene.waiting = 1;
    await turn();
    expect(scene.formed).toEqual([false]);
  });
});
