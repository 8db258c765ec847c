import { expect, it } from '@jest/globals';
import { isCertificateLevel, levelsUpTo, nextLevel, previousLevel } from './pdf-level.ts';

it('counts renewals without end, each level growing from the one before it', () => {
  expect(levelsUpTo('B-LTA.3')).toEqual(['B-T', 'B-LT', 'B-LTA', 'B-LTA.2', 'B-LTA.3']);
  for (const level of levelsUpTo('B-LTA.12')) expect(previousLevel(nextLevel(level))).toBe(level);
});

it('knows no other spelling of a level', () => {
  for (const level of levelsUpTo('B-LTA.999')) expect(isCertificateLevel(level)).toBe(true);
  for (const text of ['', 'B-B', 'B-LTA.1', 'B-LTA.02', 'B-LTA.1000', 'b-t', 'B-LTA.2 '])
    expect(isCertificateLevel(text)).toBe(false);
});
