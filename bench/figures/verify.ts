import { parseBundle } from '../../domain/bundle-parse.ts';
import {
  anchorOf,
  assemble,
  checkpointOf,
  createInstance,
  digestOf,
  type Instance,
  sealProof,
  stamp,
} from '../../local/evidence/instance.ts';
import { createVerifierCache } from '../../verifier/cache.ts';
import { verifyBundle } from '../../verifier/verify.ts';
import type { Section } from '../figure.ts';
import { show } from '../statistics.ts';

const CHECKPOINTS = 20;
const PER_CHECKPOINT = 100;
const NOW_MS = Date.parse('2026-11-24T08:00:00Z');

async function makeBundles(instance: Instance): Promise<string[]> {
  const texts: string[] = [];
  const proofs = Array.from({ length: CHECKPOINTS * PER_CHECKPOINT }, (_, n) =>
    sealProof(instance, n, digestOf(`file ${n}`)),
  );
  for (let c = 1; c <= CHECKPOINTS; c++) {
    const members = proofs.slice(0, c * PER_CHECKPOINT);
    const log = await checkpointOf(
      instance,
      members.map(({ leaf }) => leaf),
    );
    const timestamps = [await stamp(instance, log.body)];
    const anchors = [anchorOf(log.note, c)];
    for (const [i, sealed] of members.slice(-PER_CHECKPOINT).entries()) {
      const index = (c - 1) * PER_CHECKPOINT + i;
      texts.push(JSON.stringify(assemble(instance, { sealed, index, log, timestamps, anchors })));
    }
  }
  return texts;
}

/** Bundles a second with `concurrency` verifications under way. */
async function measure(texts: readonly string[], instance: Instance, concurrency: number): Promise<number> {
  const cache = createVerifierCache();
  const queue = texts.values();
  const started = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (const text of queue) {
        const { overall } = await verifyBundle(text, { trust: instance.trust, nowMs: NOW_MS, cache });
        if (overall !== 'valid') throw new Error(`a bundle of the benchmark is ${overall}`);
      }
    }),
  );
  return (texts.length / (performance.now() - started)) * 1000;
}

/**
 * Bundles a second that the verifier judges offline, from JSON text to verdict. 2,000 proofs in 20 checkpoints, each
 * with its own seal and certificate; bundles of one checkpoint share its note, token and anchor, as a batch does.
 */
export async function measureVerification(): Promise<Section> {
  const instance = await createInstance('bench');
  const texts = await makeBundles(instance);
  await measure(texts.slice(0, 300), instance, 4);
  const table = [['offline', 'bundles per s', 'ms each']];
  for (const concurrency of [1, 4, 16]) {
    const perSecond = await measure(texts, instance, concurrency);
    table.push([`${concurrency} at once`, show(perSecond), show(1000 / perSecond)]);
  }
  const started = performance.now();
  for (const text of texts) parseBundle(text);
  const each = (performance.now() - started) / texts.length;
  table.push(['parsing alone', show(1000 / each), show(each)]);
  return {
    title: 'Offline verification',
    method: `${texts.length} bundles of ${show((texts.at(-1)?.length ?? 0) / 1000)} KB in 20 checkpoints, each with its own seal and certificate; those of one checkpoint share note, token and anchor. One process; from JSON text to verdict, every one valid.`,
    table,
    notes: ['Aim ≥ 1,000/s (OpenTimestamps, parsing and verifying on one core of such a machine: 778–874/s).'],
  };
}
