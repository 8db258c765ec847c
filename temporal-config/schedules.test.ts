import { describe, expect, it } from '@jest/globals';
import * as workflows from '../workflows/index.ts';
import { readSchedules } from './schedules.ts';

describe('schedules.yaml', () => {
  it('names workflows that there are', () => {
    const schedules = readSchedules();
    expect(schedules.map((schedule) => schedule.id)).toEqual(
      expect.arrayContaining(['renewLicensePeriods', 'checkIntegrity']),
    );
    for (const { workflow } of schedules) expect(Object.keys(workflows)).toContain(workflow);
  });

  it.each([
    ['{a: {workflow: w, every: 1h, overlap: SKIP}}', 'catchupWindow unknown or missing'],
    ['{a: {workflow: w, every: 1h, catchupWindow: 1h, overlap: SKIP, cron: x}}', 'cron unknown or missing'],
    ['{a: {workflow: w, every: 90s, catchupWindow: 1h, overlap: SKIP}}', '"90s" is no duration'],
    ['{a: {workflow: w, every: 1h, catchupWindow: 1h, overlap: ALWAYS}}', 'overlap is one of'],
  ])('refuses %s', (text, message) => {
    expect(() => readSchedules(text)).toThrow(message);
  });
});
