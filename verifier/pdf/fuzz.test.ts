import 'reflect-metadata';
import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { payloadOf } from '../../local/evidence/instance.ts';
import { smallPdf } from '../../test/pdf/small-pdf.ts';
import { makeLevels, makePdfWorld, trustOf } from '../../test/pdf/world.ts';
import { makeScene } from '../../test/vectors/scene.ts';
import { PDF_CLAIMS } from './pdf-verdict.ts';
import { readPdf } from './revisions.ts';
import type { PdfValue } from './scan.ts';
import { verifyPdf } from './verify-pdf.ts';

const AT = Date.parse('2026-11-23T09:00:00Z');
const SEED = 20261123;
let pdf: Uint8Array;
let trust: TrustDocument;
/** The room of the last timestamp, which nothing covers. */
let gap: { readonly from: number; readonly to: number };

beforeAll(async () => {
  const scene = await makeScene();
  const world = await makePdfWorld('ES256', AT);
  trust = trustOf(world, scene.trust);
  pdf = (await makeLevels(world, smallPdf(canonicalBytes(payloadOf(scene.good, scene.anchor)))))['B-LTA'];
  const from = Buffer.from(pdf).lastIndexOf('/Contents <') + '/Contents '.length;
  gap = { from, to: Buffer.from(pdf).indexOf('>', from) + 1 };
});

const verify = (bytes: Uint8Array) => verifyPdf(bytes, { trust, nowMs: AT + 86_400_000 });

describe('mutated PDFs', () => {
  it('are valid before they are mutated', async () => {
    expect((await verify(pdf)).overall).toBe('valid');
  });

  it('are never valid when a byte that a timestamp covers is another', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(pdf.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        if (at >= gap.from && at < gap.to) return;
        const mutated = pdf.map((byte, i) => (i === at ? byte ^ change : byte));
        expect((await verify(mutated)).overall).not.toBe('valid');
      }),
      { numRuns: 150, seed: SEED },
    );
  });

  it('are never valid with anything more, whatever is appended', async () => {
    const object = fc.constantFrom(
      '<</Type /Catalog>>',
      '<</Type /Page>>',
      '(text)',
      '<</ByteRange [0 1 2 3]>>',
      '[1 0 R]',
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), object, fc.boolean(), async (number, text, isWhole) => {
        const head = `${number} 0 obj\n${text}\nendobj\n`;
        const old = /startxref\s+(\d+)\s+%%EOF\s*$/.exec(Buffer.from(pdf.subarray(-64)).toString('latin1'))?.[1];
        const table = `xref\n${number} 1\n${String(pdf.length).padStart(10, '0')} 00000 n \ntrailer\n<</Size 60 /Root 1 0 R /Prev ${old}>>\nstartxref\n${pdf.length + head.length}\n%%EOF\n`;
        const mutated = Buffer.concat([pdf, Buffer.from(isWhole ? head + table : head)]);
        expect((await verify(mutated)).overall).not.toBe('valid');
      }),
      { numRuns: 60, seed: SEED },
    );
  });

  it('never throw, whatever bytes are changed, removed or put in', async () => {
    const fragment = fc
      .constantFrom(
        '<<',
        '>>',
        '[',
        ']',
        '(',
        ')',
        '<',
        '/',
        '0 R',
        'stream\n',
        'endobj',
        'xref\n',
        '%%EOF',
        '-1',
        '9999999999',
        '<</A 1 0 R>>',
      )
      .map((text) => Buffer.from(text));
    const edit = fc.record({
      at: fc.nat(pdf.length - 1),
      remove: fc.nat(60),
      put: fc.oneof(fc.uint8Array({ maxLength: 12 }), fragment),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        let mutated: Uint8Array = pdf;
        for (const { at, remove, put } of edits)
          mutated = Buffer.concat([mutated.subarray(0, at), put, mutated.subarray(at + remove)]);
        const result = await verify(mutated);
        expect(Object.keys(result.claims).sort()).toEqual([...PDF_CLAIMS].sort());
      }),
      { numRuns: 150, seed: SEED },
    );
  });

  it('never throw on random bytes, which are invalid', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3_000 }), fc.boolean(), async (bytes, isNamed) => {
        const input = isNamed ? Buffer.concat([Buffer.from('%PDF-1.7\n'), bytes]) : bytes;
        expect((await verify(input)).overall).toBe('invalid');
      }),
      { numRuns: 60, seed: SEED },
    );
  });

  it('never throw when the room of the last timestamp holds something else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(gap.to - gap.from - 3),
        fc.constantFrom(...'0123456789abcdefABCDEF> '),
        async (at, digit) => {
          const place = gap.from + 1 + at;
          const mutated = pdf.map((byte, i) => (i === place ? digit.charCodeAt(0) : byte));
          expect(['valid', 'unverified', 'invalid']).toContain((await verify(mutated)).overall);
        },
      ),
      { numRuns: 60, seed: SEED },
    );
  });
});

it('refuses what would cost a reader its memory', async () => {
  const deep = Buffer.from(`%PDF-1.7\n1 0 obj\n${'['.repeat(100_000)}`);
  const table = `xref\n1 1\n0000000009 00000 n \ntrailer\n<</Size 2 /Root 1 0 R>>\nstartxref\n${deep.length}\n%%EOF\n`;
  expect(() => readPdf(Buffer.concat([deep, Buffer.from(table)]))).toThrow('nested deeper');
  const { deflateSync } = await import('node:zlib');
  const { readStream } = await import('./streams.ts');
  const bomb = deflateSync(new Uint8Array(50_000_000));
  const value: PdfValue = { kind: 'dict', entries: new Map([['Filter', { kind: 'name', name: 'FlateDecode' }]]) };
  await expect(readStream({ number: 1, value, stream: bomb, to: 0 }, 65_536)).rejects.toThrow('grows beyond');
});
