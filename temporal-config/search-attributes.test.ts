import { describe, expect, it } from '@jest/globals';
import { searchAttributes } from '../workflows/messages.ts';
import { readSearchAttributes } from './search-attributes.ts';

describe('readSearchAttributes', () => {
  it('reads the declared attributes with their types', () => {
    expect(readSearchAttributes()).toMatchObject({
      TenantIds: 'KeywordList',
      BatchStage: 'Keyword',
      WaitReason: 'Keyword',
    });
  });

  it('declares exactly those that the workflows set, with the same types', () => {
    const inCode = Object.values(searchAttributes).map(({ name, type }) => [name, type.replace('_', '').toLowerCase()]);
    const declared = Object.entries(readSearchAttributes()).map(([name, type]) => [name, type.toLowerCase()]);
    expect(Object.fromEntries(inCode)).toEqual(Object.fromEntries(declared));
  });

  it('refuses more attributes of a type than Postgres has columns, and unknown types', () => {
    expect(() => readSearchAttributes('A: Int\nB: Int\nC: Int\nD: Int')).toThrow('more than 3');
    expect(() => readSearchAttributes('A: Integer')).toThrow('unknown type');
  });
});
