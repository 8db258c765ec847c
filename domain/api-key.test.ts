import { describe, expect, it } from '@jest/globals';
import { apiKeyPrefix, formatApiKey, hashApiKey, isApiKey } from './api-key.ts';

const random = Uint8Array.from({ length: 24 }, (_, i) => i * 7);
const key = formatApiKey('live', random);

describe('an API key', () => {
  it('has its prefix, 33 characters of secret and 6 of checksum', () => {
    expect(key).toMatch(/^pl_live_[0-9A-Za-z]{39}$/);
    expect(formatApiKey('test', new Uint8Array(24).fill(255))).toMatch(/^pl_test_[0-9A-Za-z]{39}$/);
    expect(isApiKey(key)).toBe(true);
  });

  it('is refused with any one character changed', () => {
    for (let at = 0; at < key.length; at++) {
      const changed = key.slice(0, at) + (key[at] === 'x' ? 'y' : 'x') + key.slice(at + 1);
      expect(isApiKey(changed)).toBe(false);
    }
  });

  it('is refused when cut, lengthened, or of another mode', () => {
    for (const text of ['', key.slice(0, -1), `${key}0`, key.replace('live', 'test'), `${key}\n`])
      expect(isApiKey(text)).toBe(false);
  });

  it('is stored as 32 bytes and shown by its first four characters only', () => {
    expect(hashApiKey(key)).toHaveLength(32);
    expect(apiKeyPrefix(key)).toBe(key.slice(0, 12));
  });
});
