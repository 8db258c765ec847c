import { describe, expect, it } from '@jest/globals';
import { createForming, type FormOutcome, SLOT_MS } from './form-batches.ts';

/** A queue of classes, each since when it waits, and a clock moved by hand. */
function createScene() {
  const scene = { atMs: 0, waiting: [] as number[], formedAt: [] as number[], isFull: false };
  const turn = createForming({
    elapsedMs: () => scene.atMs,
    nowMicros: () => `${scene.atMs}`,
    async form(waitingSince): Promise<FormOutcome> {
      if (scene.isFull) return 'full';
      const head = scene.waiting[0];
      if (head === undefined || (waitingSince !== undefined && head > Number(waitingSince))) return 'nothing';
      scene.waiting.shift();
      scene.formedAt.push(scene.atMs);
      // The next class came while this batch was being formed.
      scene.atMs += 5;
      return 'formed';
    },
  });
  return { scene, turn };
}

describe('forming batches', () => {
  it('forms what comes after a rest at once', async () => {
    const { scene, turn } = createScene();
    scene.atMs = 1_000;
    scene.waiting = [1_000];
    await turn();
    expect(scene.formedAt).toEqual([1_000]);
  });

  it('lets what comes during a slot wait for the next, and says when that is', async () => {
    const { scene, turn } = createScene();
    scene.waiting = [0];
    await turn();
    scene.waiting = [6];
    const restMs = await turn();
    expect(scene.formedAt).toEqual([0]);
    scene.atMs += restMs;
    await turn();
    expect(scene.formedAt).toEqual([0, 5 + SLOT_MS]);
  });

  it('forms every class that waited when the slot began, and none that came since', async () => {
    const { scene, turn } = createScene();
    scene.atMs = 50;
    scene.waiting = [10, 20, 30, 52];
    const restMs = await turn();
    expect(scene.formedAt).toHaveLength(3);
    expect(restMs).toBeGreaterThan(0);
    expect(scene.waiting).toEqual([52]);
  });

  it('spends no slot on a turn that formed nothing', async () => {
    const { scene, turn } = createScene();
    scene.isFull = true;
    expect(await turn()).toBe(0);
    scene.isFull = false;
    scene.waiting = [0];
    await turn();
    expect(scene.formedAt).toEqual([0]);
  });
});
