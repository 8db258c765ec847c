import 'reflect-metadata';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import { toMicros } from '../../domain/clock.ts';
import { writePem } from '../../domain/timestamp/pem.ts';
import { makeCa, makeCrl, makeLeaf, type TestCa } from '../../local/tsa/authority-certificates.ts';
import { createRevocationSource, type RevocationSource } from './revocation-source.ts';

let root: TestCa;
let other: TestCa;
let server: Server;
let url: string;
let certificate: Uint8Array;
let asked = 0;
let answer: () => Promise<Uint8Array | number | 'hang'>;
let nowMs: number;
let source: RevocationSource;

beforeEach(async () => {
  [root, other] = [await makeCa('Root'), await makeCa('Root')];
  asked = 0;
  nowMs = Date.now();
  answer = () => makeCrl(root, []);
  server = createServer(async (_request, response) => {
    asked++;
    const what = await answer();
    if (what === 'hang') return;
    response.writeHead(typeof what === 'number' ? what : 200).end(typeof what === 'number' ? '' : what);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/root.crl`;
  certificate = await leafWith([url]);
  source = createRevocationSource({
    issuers: [writePem('CERTIFICATE', root.der)],
    clock: { nowMs: () => nowMs, nowMicros: () => toMicros(BigInt(nowMs) * 1000n) },
    timeoutMs: 200,
  });
});
afterEach(async () => {
  await source.close();
  server.closeAllConnections();
  server.close();
});

async function leafWith(urls: string[]): Promise<Uint8Array> {
  const { publicKey } = (await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
    'sign',
  ])) as CryptoKeyPair;
  return makeLeaf(root, publicKey, { purposes: [new x509.CRLDistributionPointsExtension(urls)] });
}

const unavailable = (detail: string) => ({
  code: 'REVOCATION_UNAVAILABLE',
  detail: expect.stringContaining(detail),
});

describe('revocation lists by the address in the certificate', () => {
  it('fetches a list that the issuer signed, once for all who ask together, and again after a minute', async () => {
    const found = await Promise.all([1, 2, 3].map(() => source.fetchRevocation(certificate)));
    expect(asked).toBe(1);
    expect(Date.parse(found[0]?.nextUpdate ?? '')).toBeGreaterThan(nowMs);
    expect(found[0]?.thisUpdate).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000000Z$/);
    await source.fetchRevocation(certificate);
    expect(asked).toBe(1);
    nowMs += 60_000;
    await source.fetchRevocation(certificate);
    expect(asked).toBe(2);
  });

  it('uses a list in force while its publisher is down, and no longer than that', async () => {
    const { crl } = await source.fetchRevocation(certificate);
    answer = async () => 503;
    nowMs += 120_000;
    expect((await source.fetchRevocation(certificate)).crl).toEqual(crl);
    nowMs += 400 * 86_400_000;
    await expect(source.fetchRevocation(certificate)).rejects.toMatchObject(unavailable('HTTP 503'));
  });

  it('asks anew for a list made after a given time, and refuses an older one', async () => {
    await source.fetchRevocation(certificate);
    const madeAfter = toMicros(BigInt(nowMs + 3_600_000) * 1000n);
    await expect(source.fetchRevocation(certificate, { madeAfter })).rejects.toMatchObject(unavailable('before'));
    expect(asked).toBe(2);
  });

  it.each<[string, () => Promise<Uint8Array | number | 'hang'>, string]>([
    ['a list of another issuer of the same name', () => makeCrl(other, []), 'not signed by the issuer'],
    ['bytes that are no list', async () => new TextEncoder().encode('<html>'), 'root.crl'],
    ['a list cut short', async () => (await makeCrl(root, [])).subarray(0, 60), 'missing'],
    ['more than the bound', async () => new Uint8Array(5 * 1_048_576), 'longer than'],
    ['no answer', async () => 'hang', 'no answer within 200 ms'],
  ])('refuses %s', async (_what, given, detail) => {
    answer = given;
    await expect(source.fetchRevocation(certificate)).rejects.toMatchObject(unavailable(detail));
  });

  it('says so where the certificate names no list, or its issuer is not known', async () => {
    await expect(source.fetchRevocation(await leafWith([]))).rejects.toMatchObject(unavailable('names no list'));
    await expect(source.fetchRevocation(other.der)).rejects.toMatchObject(unavailable('not known'));
    await expect(source.fetchRevocation(Uint8Array.of(1, 2))).rejects.toMatchObject(unavailable('the certificate'));
    expect(asked).toBe(0);
  });

  it('tries the next address when the first does not answer', async () => {
    certificate = await leafWith(['http://127.0.0.1:1/gone.crl', url]);
    expect((await source.fetchRevocation(certificate)).crl.length).toBeGreaterThan(100);
  });
});
