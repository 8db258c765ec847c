/**
 * How many bundles a second the verifier judges offline, from JSON text to verdict: `node bench/verify.bench.ts`.
 * 2,000 proofs in 20 checkpoints, each with its own seal and certificate; bundles of one checkpoint share its note,
 * token and anchor, as a batch does. Prints a table; asserts nothing but that every bundle is valid.
 */
import { cpus } from 'node:os';
import { parseBundle } from '../domain/bundle-parse.ts';
import {
  anchorOf,
  assemble,
  checkpointOf,
  createInstance,
  digestOf,
  type Instance,
  sealProof,
  stamp,
} from '../local/evidence/instance.ts';
import { createVerifierCache } from '../verifier/cache.ts';
import { verifyBundle } from '../verifier/verify.ts';

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

const instance = await createInstance('bench');
const texts = await makeBundles(instance);
await measure(texts.slice(0, 300), instance, 4);
const rows: Record<string, Record<string, string>> = {};
for (const concurrency of [1, 4, 16]) {
  const perSecond = await measure(texts, instance, concurrency);
  rows[`${concurrency} at once`] = { 'bundles/s': perSecond.toFixed(0), 'ms each': (1000 / perSecond).toFixed(3) };
}
const started = performance.now();
for (const text of texts) parseBundle(text);
rows['parsing alone'] = {
  'bundles/s': ((texts.length / (performance.now() - started)) * 1000).toFixed(0),
  'ms each': ((performance.now() - started) / texts.length).toFixed(3),
};
process.stdout.write(
  `${cpus().length} × ${cpus()[0]?.model}, Node ${process.versions.node}; ${texts.length} bundles of ${(texts.at(-1)?.length ?? 0) / 1000} KB\n`,
);
console.table(rows);
