import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ProoflineError } from './errors.ts';
import { parseStrictJson } from './strict-json.ts';

const codeOf = (text: string): string => {
  try {
    parseStrictJson(text);
  } catch (error) {
    return error instanceof ProoflineError ? error.code : `threw ${String(error)}`;
  }
  return 'accepted';
};

describe('strict JSON', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.constantFrom(0, 1, 2), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        if (codeOf(text) === 'JSON_NUMBER_OUT_OF_RANGE' || codeOf(text) === 'JSON_LONE_SURROGATE') return;
        expect(JSON.stringify(parseStrictJson(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it('refuses what JSON.parse refuses', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]":,\\0123456789.eE+-truefalsn u\t\n') }), (text) => {
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        if (!isJson) expect(codeOf(text)).not.toBe('accepted');
      }),
      { numRuns: 3_000, seed: 1 },
    );
  });

  it.each([
    ['{"a":1,"a":2}', 'JSON_DUPLICATE_KEY'],
    ['{"a":1,"\\u0061":2}', 'JSON_DUPLICATE_KEY'],
    ['{"x":{"__proto__":1,"__proto__":2}}', 'JSON_DUPLICATE_KEY'],
    ['9007199254740993', 'JSON_NUMBER_OUT_OF_RANGE'],
    ['-9007199254740993', 'JSON_NUMBER_OUT_OF_RANGE'],
    ['1e400', 'JSON_NUMBER_OUT_OF_RANGE'],
    ['"\\ud800"', 'JSON_LONE_SURROGATE'],
    ['{"\\udc00":1}', 'JSON_LONE_SURROGATE'],
    ['"\\ud83d\\u0020\\ude00"', 'JSON_LONE_SURROGATE'],
    [`${'['.repeat(66)}${']'.repeat(66)}`, 'JSON_TOO_DEEP'],
    ['', 'BODY_MALFORMED'],
    ['{} {}', 'BODY_MALFORMED'],
    ['\ufeff{}', 'BODY_MALFORMED'],
    ["{'a':1}", 'BODY_MALFORMED'],
    ['[1,]', 'BODY_MALFORMED'],
    ['01', 'BODY_MALFORMED'],
    ['NaN', 'BODY_MALFORMED'],
    ['"\n"', 'BODY_MALFORMED'],
    ['"a', 'BODY_MALFORMED'],
    ['"\\x41"', 'BODY_MALFORMED'],
    ['\u00a01', 'BODY_MALFORMED'],
  ])('refuses %j as %s', (text, code) => {
    expect(codeOf(text)).toBe(code);
  });

  it('keeps surrogate pairs, and a member named __proto__ as a member', () => {
    expect(parseStrictJson('"\\ud83d\\ude00"')).toBe('😀');
    const value = parseStrictJson('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect((value as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
