import { describe, expect, it } from '@jest/globals';
import { ProoflineError } from './errors.ts';
import { optional, parseSettings, readInteger, readOneOf, readText, readUrl, required } from './settings.ts';

const SCHEMA = {
  url: required('PROOFLINE_URL', readUrl('https:')),
  port: optional('PROOFLINE_PORT', readInteger(1, 65_535), 8080),
  level: optional('PROOFLINE_LEVEL', readOneOf('info', 'warn'), 'info' as const),
  name: required('PROOFLINE_NAME', readText),
};

describe('parseSettings', () => {
  it('reads values and falls back where it may', () => {
    const environment = { PROOFLINE_URL: 'https://a.example/', PROOFLINE_NAME: 'x', HOME: '/' };
    expect(parseSettings(SCHEMA, environment)).toEqual({
      url: 'https://a.example',
      port: 8080,
      level: 'info',
      name: 'x',
    });
  });

  it('lists every fault at once', () => {
    const faults = faultsOf({ PROOFLINE_URL: 'http://a.example', PROOFLINE_PORT: '70000', PROOFLINE_LEVEL: 'loud' });
    expect(faults).toEqual([
      'PROOFLINE_URL must be a URL (https:)',
      'PROOFLINE_PORT must be an integer from 1 to 65535',
      'PROOFLINE_LEVEL must be one of info, warn',
      'PROOFLINE_NAME is missing',
    ]);
  });

  it('refuses a key that no schema names, since it is a typing error', () => {
    expect(faultsOf({ PROOFLINE_URL: 'https://a.example', PROOFLINE_NAME: 'x', PROOFLINE_PROT: '1' })).toEqual([
      'PROOFLINE_PROT is not a setting',
    ]);
  });

  it('never repeats a value, which may be a secret', () => {
    expect(faultsOf({ PROOFLINE_URL: 'hunter2', PROOFLINE_NAME: 'x' }).join()).not.toContain('hunter2');
  });
});

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    parseSettings(SCHEMA, environment);
  } catch (error) {
    if (error instanceof ProoflineError) return error.extra.faults as readonly string[];
    throw error;
  }
  return [];
}
