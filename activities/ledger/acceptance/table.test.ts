import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';

const read = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8');

const rows = [...read('README.md').matchAll(/^\| ([^|]+) \| ([^|]+) \| `(\w+)` \|$/gm)].map(([, line, test, file]) => ({
  line,
  test,
  file,
}));

it('names, for every line of the acceptance list, a test that is there', () => {
  expect(rows).toHaveLength(22);
  for (const { line, test, file } of rows)
    expect({ line, test, isThere: read(`${file}.it.test.ts`).includes(`'${test}'`) }).toEqual({
      line,
      test,
      isThere: true,
    });
});
