import { describe, expect, it } from '@jest/globals';
import { toHex, utf8 } from '../bytes.ts';
import { type EntityId, parseEntityId, parseLedgerTime } from './entity-id.ts';
import { FIRST_PREV_RUNNING_HASH, runningHashV3 } from './running-hash.ts';

const entity = (text: string): EntityId => parseEntityId(text) as EntityId;

/** Runs messages of one topic through the chain and returns each running hash. */
function chain(payer: string, topic: string, messages: readonly (readonly [string, string])[]): Uint8Array[] {
  let prevRunningHash = FIRST_PREV_RUNNING_HASH;
  return messages.map(([time, text], i) => {
    const consensusTimestamp = parseLedgerTime(time);
    if (consensusTimestamp === undefined) throw new Error(time);
    prevRunningHash = runningHashV3({
      prevRunningHash,
      payer: entity(payer),
      topicId: entity(topic),
      consensusTimestamp,
      sequenceNumber: BigInt(i + 1),
      message: utf8.encode(text),
    });
    return prevRunningHash;
  });
}

describe('running hash version 3', () => {
  it('reproduces three messages of testnet topic 0.0.4603900', () => {
    const hashes = chain('0.0.2617920', '0.0.4603900', [
      ['1683553059.977315003', 'Message 1'],
      ['1683553060.092158003', 'Message 2'],
      ['1683553060.328178003', 'Message 3'],
    ]);
    expect(hashes.map((hash) => Buffer.from(hash).toString('base64'))).toEqual([
      'vKnW8bYSjhYtHtMNOJWrkfyv77kKc4EREDycKE2L37aU0SYlx+g6HB9ah7CTFSxl',
      'JM8LpmRwUVc+wiwzRHBgcCv8uJkbfan8BV2QPC0hBMgXA9KIvy8TwOoXsukgmeC+',
      'OL6EUxAayPsRiuhwflX5heRgIGEWmHcJU7bS2qBPeJNoOiMQmaY0H6G/pXJ7wGQz',
    ]);
  });

  it('reproduces two messages hashed by a Java virtual machine', () => {
    const hashes = chain('0.0.1001', '0.0.2002', [
      ['1700000000.123456789', 'hello'],
      ['1700000000.123456789', 'hello'],
    ]);
    expect(hashes.map(toHex)).toEqual([
      '86a6cb44bfabab25ee364a15ca705bc55411b1fe7f4a2547784d7119af7b40008096040d7b7ac8f751630c00473b32fc',
      'd86560a9501c332ea19e47de2196890cd20250704c0587a5df1443fb7a74011ee16af51d51ebee85b4c451f7b32df58a',
    ]);
  });

  it('refuses a predecessor of another length', () => {
    expect(() => chain('0.0.1', '0.0.2', [['1.000000000', 'x']])).not.toThrow();
    const input = { payer: entity('0.0.1'), topicId: entity('0.0.2'), consensusTimestamp: { seconds: 1n, nanos: 0 } };
    expect(() =>
      runningHashV3({ ...input, prevRunningHash: new Uint8Array(47), sequenceNumber: 1n, message: new Uint8Array() }),
    ).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }));
  });
});
