import { describe, expect, it } from '@jest/globals';
import { toBase64Url, utf8 } from '../bytes.ts';
import { canonicalText } from '../canonical-json.ts';
import {
  checkRevocationList,
  parseRevocationList,
  REVOCATION_LIST_TYPE,
  type RevocationList,
  revocationListSigningInput,
  revocationListState,
} from './revocation-list.ts';

const LIST: RevocationList = {
  type: REVOCATION_LIST_TYPE,
  number: 3,
  instanceFingerprint: 'a'.repeat(64),
  issuedAt: '2026-01-01T00:00:00Z',
  nextUpdate: '2026-02-01T00:00:00Z',
  revoked: [{ grantId: 'g1', from: '2026-01-01T00:00:00Z' }],
};
const SIGNATURE = toBase64Url(new Uint8Array(64));
const file = (list: RevocationList): string => `${revocationListSigningInput(list, 'k')}.${SIGNATURE}`;
const context = { instanceFingerprint: 'a'.repeat(64), nowMs: Date.parse('2026-01-15T00:00:00Z') };
const check = (changes: Partial<RevocationList>, last?: { number: number; hash: string }) => () =>
  checkRevocationList(parseRevocationList(file({ ...LIST, ...changes })), { ...context, ...(last && { last }) });

describe('a revocation list', () => {
  it('reads back as it was made', () => {
    expect(parseRevocationList(file(LIST)).payload).toEqual(LIST);
  });

  it('is never taken for a grant, nor a grant for it', () => {
    const header = toBase64Url(utf8.encode(canonicalText({ alg: 'EdDSA', kid: 'k', typ: 'proofline-grant+jws' })));
    const [, payload] = file(LIST).split('.');
    expect(() => parseRevocationList(`${header}.${payload}.${SIGNATURE}`)).toThrow('GRANT_MALFORMED: header $.typ');
  });

  it('names each grant once', () => {
    const twice = [...LIST.revoked, ...LIST.revoked];
    expect(() => revocationListSigningInput({ ...LIST, revoked: twice }, 'k')).toThrow('each grant once');
  });

  it('follows by number, and the very same one changes nothing', () => {
    const { hash } = parseRevocationList(file(LIST));
    expect(check({}, { number: 2, hash: 'x' })()).toEqual(LIST);
    expect(check({}, { number: 3, hash })()).toBe('unchanged');
    expect(check({}, { number: 3, hash: 'x' })).toThrow('GRANT_LIST_OUTDATED');
    expect(check({ number: 2 }, { number: 3, hash: 'x' })).toThrow('GRANT_LIST_OUTDATED');
  });

  it.each<[string, string, Partial<RevocationList>]>([
    ['of another instance', 'GRANT_WRONG_INSTANCE', { instanceFingerprint: 'b'.repeat(64) }],
    ['that ends before it begins', 'GRANT_DATES_INVALID', { nextUpdate: '2025-12-31T00:00:00Z' }],
    ['that is overdue', 'a newer list was due', { nextUpdate: '2026-01-15T00:00:00Z' }],
  ])('%s is refused', (_, message, changes) => {
    expect(check(changes)).toThrow(message);
  });

  it.each([
    [undefined, '2026-01-01T00:00:00Z', 'NONE'],
    ['2026-02-01T00:00:00Z', '2026-01-31T23:59:59Z', 'FRESH'],
    ['2026-02-01T00:00:00Z', '2026-02-01T00:00:00Z', 'OVERDUE'],
    ['2026-02-01T00:00:00Z', '2026-02-07T23:59:59Z', 'OVERDUE'],
    ['2026-02-01T00:00:00Z', '2026-02-08T00:00:00Z', 'BLOCKING'],
  ])('due at %s is at %s %s', (nextUpdate, at, state) => {
    expect(revocationListState(nextUpdate, Date.parse(at))).toBe(state);
  });
});
