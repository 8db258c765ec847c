import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalText } from '../domain/canonical-json.ts';
import { parseTrustDocument } from '../domain/trust-parse.ts';
import { CLAIMS } from './verdict.ts';
import { verifyBundle } from './verify.ts';

const folder = join(import.meta.dirname, 'vectors', 'good-anchored');
const text = readFileSync(join(folder, 'bundle.json'), 'utf8');
const good = JSON.parse(text) as Record<string, unknown>;
const trust = parseTrustDocument(readFileSync(join(folder, 'trust.json'), 'utf8'));
const nowMs = Date.parse('2026-11-24T08:00:00Z');

/** What the certificate and the signatures answer for; `pending` and the copies of our keys are not evidence. */
const EVIDENCE = ['statement', 'seal', 'inclusion', 'checkpoint', 'timestamps', 'anchors', 'certificate'] as const;

type Step = string | number;

/** The path of every string and number below the evidence members. */
function leavesOf(value: unknown, at: readonly Step[] = []): (readonly Step[])[] {
  if (Array.isArray(value)) return value.flatMap((one, i) => leavesOf(one, [...at, i]));
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([key, one]) => leavesOf(one, [...at, key]));
  return [at];
}
const LEAVES = EVIDENCE.flatMap((member) => leavesOf(good[member], [member]));

function change(value: unknown, path: readonly Step[], how: (leaf: unknown) => unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return how(value);
  if (Array.isArray(value)) return value.map((one, i) => (i === step ? change(one, rest, how) : one));
  const members = value as Record<string, unknown>;
  return { ...members, [step]: change(members[step], rest, how) };
}

const alphabet = fc.constantFrom(...'ABCxyz019-_+/=.| \n"\\{}é\u0000'.split(''));

describe('mutated bundles', () => {
  it('are valid before they are mutated', async () => {
    expect((await verifyBundle(text, { trust, nowMs })).overall).toBe('valid');
  });

  it('are never valid when one character of any evidence is another', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...LEAVES), fc.nat(), alphabet, async (path, at, character) => {
        const bundle = change(good, path, (leaf) => {
          if (typeof leaf !== 'string') return (leaf as number) + 1 + (at % 7);
          const place = at % leaf.length;
          return leaf.slice(0, place) + character + leaf.slice(place + 1);
        });
        if (canonicalText(bundle) === canonicalText(good)) return;
        expect((await verifyBundle(JSON.stringify(bundle), { trust, nowMs })).overall).not.toBe('valid');
      }),
      { numRuns: 1_500, seed: 20261123 },
    );
  });

  it('are never valid when a member of the evidence is missing or of another type', async () => {
    const paths = EVIDENCE.flatMap((member) => [[member], ...leavesOf(good[member], [member])]);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.jsonValue(), async (path, value) => {
        const bundle = change(good, path, () => value);
        if (canonicalText(bundle) === canonicalText(good)) return;
        expect((await verifyBundle(JSON.stringify(bundle), { trust, nowMs })).overall).not.toBe('valid');
      }),
      { numRuns: 600, seed: 20261123 },
    );
  });

  it('never throw, whatever bytes are changed, removed or put in', async () => {
    const bytes = new Uint8Array(Buffer.from(text));
    const edit = fc.record({ at: fc.nat(bytes.length - 1), remove: fc.nat(40), put: fc.uint8Array({ maxLength: 12 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        let mutated = bytes;
        for (const { at, remove, put } of edits)
          mutated = Uint8Array.of(...mutated.subarray(0, at), ...put, ...mutated.subarray(at + remove));
        const result = await verifyBundle(mutated, { trust, nowMs });
        expect(Object.keys(result.claims)).toEqual([...CLAIMS]);
      }),
      { numRuns: 600, seed: 20261123 },
    );
  });

  it('never throw on random bytes, texts and values, which are invalid', async () => {
    const input = fc.oneof(
      fc.uint8Array({ maxLength: 2_000 }),
      fc.string({ unit: 'binary', maxLength: 500 }),
      fc.json(),
      fc.anything(),
    );
    await fc.assert(
      fc.asyncProperty(input, async (value) => {
        expect((await verifyBundle(value, { trust, nowMs })).overall).toBe('invalid');
        expect((await verifyBundle(value, { nowMs })).overall).toBe('invalid');
      }),
      { numRuns: 600, seed: 20261123 },
    );
  });
});
