import { describe, expect, it } from '@jest/globals';
import { readSearchAttributes } from './search-attributes.ts';

describe('readSearchAttributes', () => {
  it('reads the declared attributes with their types', () => {
    expect(readSearchAttributes()).toMatchObject({
      TenantIds: 'KeywordList',
      BatchStage: 'Keyword',
      WaitReason: 'Keyword',
    });
  });

  it('refuses more attributes of a type than Postgres has columns, and unknown types', () => {
    expect(() => readSearchAttributes('A: Int\nB: Int\nC: Int\nD: Int')).toThrow('more than 3');
    expect(() => readSearchAttributes('A: Integer')).toThrow('unknown type');
  });
});
