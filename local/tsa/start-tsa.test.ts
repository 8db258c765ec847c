import { createHash } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse } from '../../domain/timestamp/token.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { type RunningTsa, startTsa } from './start-tsa.ts';
import { makeTestAuthority, type TestAuthority } from './test-authority.ts';

let test: TestAuthority;
const running: RunningTsa[] = [];
const imprint = new Uint8Array(createHash('sha256').update('a checkpoint').digest());
const query = (policy?: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(
    buildTimestampRequest({
      imprint,
      nonce: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      ...(policy === undefined ? {} : { policy }),
    }),
  );

beforeAll(async () => {
  test = await makeTestAuthority();
});
afterEach(() => Promise.all(running.splice(0).map((tsa) => tsa.stop())));

async function start(): Promise<RunningTsa> {
  const tsa = await startTsa(test.authority);
  running.push(tsa);
  return tsa;
}

const post = (url: string, body: Uint8Array<ArrayBuffer>, type = 'application/timestamp-query') =>
  fetch(url, { method: 'POST', headers: { 'content-type': type }, body });

async function serialOf(tsa: RunningTsa): Promise<string> {
  const reply = readTimestampResponse(await (await post(tsa.url, query())).bytes());
  const verdict = await verifyTimestampToken(reply.token ?? new Uint8Array(), { imprint, roots: [test.root.der] });
  expect(verdict.failures).toEqual([]);
  return verdict.serial ?? '';
}

const statusOf = async (response: Response): Promise<number> => readTimestampResponse(await response.bytes()).status;

describe('the local authority', () => {
  it('gives every token its own serial, after a restart too', async () => {
    const first = await start();
    const before = await Promise.all(Array.from({ length: 20 }, () => serialOf(first)));
    await first.stop();
    const second = await start();
    const after = await Promise.all(Array.from({ length: 20 }, () => serialOf(second)));
    expect(new Set([...before, ...after]).size).toBe(40);
  });

  it('rejects garbage, a cut query and another policy with a status, not an error', async () => {
    const { url } = await start();
    expect(await statusOf(await post(url, Uint8Array.of(1, 2, 3)))).toBe(2);
    expect(await statusOf(await post(url, query('1.2.3.4')))).toBe(2);
    const short = query();
    expect(await statusOf(await post(url, short.slice(0, 40)))).toBe(2);
    expect(await statusOf(await post(url, query(test.authority.policy)))).toBe(0);
  });

  it('refuses other media types, long queries and unknown paths', async () => {
    const { url } = await start();
    expect((await post(url, query(), 'text/plain')).status).toBe(415);
    expect((await post(url, new Uint8Array(5000))).status).toBe(413);
    expect((await fetch(`${url}nothing`)).status).toBe(404);
    expect(await (await fetch(`${url}certchain`)).text()).toContain('BEGIN CERTIFICATE');
  });

  it('takes faults over HTTP, so many times as told, and refuses unknown ones', async () => {
    const { url } = await start();
    const put = (fault: unknown) => fetch(`${url}admin/fault`, { method: 'PUT', body: JSON.stringify(fault) });
    expect((await put({ kind: 'no-such-fault' })).status).toBe(400);
    expect((await put({ kind: 'status-2', extra: 1 })).status).toBe(400);
    expect((await put({ kind: 'status-2', times: 2 })).status).toBe(200);
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push(await statusOf(await post(url, query())));
    expect(statuses).toEqual([2, 2, 0]);
    await put({ kind: 'http-500' });
    expect((await post(url, query())).status).toBe(500);
    await fetch(`${url}admin/fault`, { method: 'DELETE' });
    expect((await post(url, query())).status).toBe(200);
  });

  it('repeats a serial on command, and stops while a request hangs', async () => {
    const tsa = await start();
    const first = await serialOf(tsa);
    tsa.setFault({ kind: 'repeated-serial' });
    expect([await serialOf(tsa), await serialOf(tsa)]).toEqual([first, first]);
    tsa.setFault({ kind: 'hang' });
    const hanging = post(tsa.url, query()).then(
      () => 'answered',
      () => 'dropped',
    );
    while (tsa.queries() < 4) await new Promise((resolve) => setImmediate(resolve));
    await tsa.stop();
    expect(await hanging).toBe('dropped');
  });
});
