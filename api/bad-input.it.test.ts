import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { seedTenant } from '../test/support/seed.ts';
import { type Answer, type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let server: TestServer;
let apiKey: string;
let call: Call;

beforeAll(async () => {
  server = await startTestServer();
  apiKey = (await seedTenant(server.database.pool('proofline_worker'))).apiKey;
  call = clientOf(server.url, apiKey);
});
afterAll(() => server.stop());

const hex = (n: number): string => n.toString(16).padStart(64, '0');
const item = (n: number): { digest: { alg: string; value: string } } => ({ digest: { alg: 'sha-256', value: hex(n) } });
const items = (count: number): unknown[] => Array.from({ length: count }, (_, n) => item(n));
const ndjson = (values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const sendLines = (body: string | Uint8Array, query = ''): Promise<Answer> =>
  call('POST', `/v1/submissions${query}`, body, { 'content-type': 'application/x-ndjson' });

const proofCount = async (): Promise<number> =>
  Number((await server.database.pool('proofline_worker').query('SELECT count(*) AS n FROM proofs')).rows[0].n);

/** A problem document of the catalogue, complete, and nothing accepted. */
async function expectProblem(send: () => Promise<Answer>, status: number, code: string): Promise<Answer> {
  const before = await proofCount();
  const answer = await send();
  expect({ status: answer.status, code: answer.body?.code }).toEqual({ status, code });
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.body).toMatchObject({
    type: `https://proofline.test/docs/problems#${code}`,
    status,
    instance: answer.headers.get('x-request-id'),
  });
  for (const member of ['title', 'detail', 'todo']) expect(typeof answer.body[member]).toBe('string');
  expect(typeof answer.body.retryable).toBe('boolean');
  expect(await proofCount()).toBe(before);
  return answer;
}

describe('a single proof is refused with', () => {
  const valid = item(1);
  const proof =
    (body: unknown, headers = {}) =>
    () =>
      call('POST', '/v1/proofs', body, headers);

  it.each([
    ['a digest that is too short', { digest: { alg: 'sha-256', value: hex(1).slice(2) } }, 400, 'DIGEST_MALFORMED'],
    [
      'a digest of another length than its algorithm',
      { digest: { alg: 'sha-512', value: hex(1) } },
      400,
      'DIGEST_MALFORMED',
    ],
    ['a digest in capitals', { digest: { alg: 'sha-256', value: 'AB'.repeat(32) } }, 400, 'DIGEST_MALFORMED'],
    ['a digest outside its alphabet', { digest: { alg: 'sha-256', value: 'g'.repeat(64) } }, 400, 'DIGEST_MALFORMED'],
    ['an unknown algorithm', { digest: { alg: 'md5', value: 'a'.repeat(32) } }, 400, 'DIGEST_ALGORITHM_UNKNOWN'],
    [
      'an algorithm named like a member of every object',
      { digest: { alg: 'constructor', value: hex(1) } },
      400,
      'DIGEST_ALGORITHM_UNKNOWN',
    ],
    ['no digest', { reference: 'x' }, 400, 'REQUEST_INVALID'],
    ['an unknown member', { ...valid, colour: 'red' }, 400, 'REQUEST_INVALID'],
    ['an unknown member of the digest', { digest: { ...valid.digest, salt: 'x' } }, 400, 'REQUEST_INVALID'],
    ['metadata over 16 KB', { ...valid, metadata: { text: 'x'.repeat(16_384) } }, 413, 'METADATA_TOO_LARGE'],
    ['metadata that is no object', { ...valid, metadata: [1] }, 400, 'REQUEST_INVALID'],
    ['metadata with U+0000', { ...valid, metadata: { a: 'x\0y' } }, 400, 'REQUEST_INVALID'],
    ['a reference over 256 characters', { ...valid, reference: 'x'.repeat(257) }, 400, 'REFERENCE_TOO_LONG'],
    ['an empty reference', { ...valid, reference: '' }, 400, 'REQUEST_INVALID'],
    ['an array', [valid], 400, 'REQUEST_INVALID'],
    ['null', 'null', 400, 'REQUEST_INVALID'],
    ['a body over 1 MiB', `{"digest":"${'x'.repeat(1024 * 1024)}"}`, 413, 'BODY_TOO_LARGE'],
    [
      'a member named twice',
      `{"digest":{"alg":"sha-256","value":"${hex(1)}"},"digest":{"alg":"sha-256","value":"${hex(2)}"}}`,
      400,
      'JSON_DUPLICATE_KEY',
    ],
    [
      'a number beyond 2^53',
      `{"digest":{"alg":"sha-256","value":"${hex(1)}"},"metadata":{"n":9007199254740993}}`,
      400,
      'JSON_NUMBER_OUT_OF_RANGE',
    ],
    [
      'half a surrogate pair',
      `{"digest":{"alg":"sha-256","value":"${hex(1)}"},"reference":"\\ud800"}`,
      400,
      'JSON_LONE_SURROGATE',
    ],
    ['nesting of 70 levels', `{"metadata":${'['.repeat(70)}${']'.repeat(70)}}`, 400, 'JSON_TOO_DEEP'],
    ['JSON that is cut', '{"digest":', 400, 'BODY_MALFORMED'],
    ['an empty body', '', 400, 'BODY_MALFORMED'],
  ])('%s', async (_name, body, status, code) => {
    await expectProblem(proof(body), status, code);
  });

  it('bytes that are not UTF-8', async () => {
    await expectProblem(proof(Uint8Array.of(0x22, 0xff, 0x22)), 400, 'BODY_MALFORMED');
  });

  it('another content type, charset or encoding', async () => {
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=latin1' },
      { 'content-encoding': 'gzip' },
    ])
      await expectProblem(proof(valid, headers), 415, 'MEDIA_TYPE_UNSUPPORTED');
  });
});

describe('a submission', () => {
  it('takes 10,000 items as JSON and as NDJSON, with or without the last newline', async () => {
    const json = await call('POST', '/v1/submissions', { proofs: items(9_900) });
    expect({ status: json.status, accepted: json.body.accepted }).toEqual({ status: 202, accepted: 9_900 });
    const lines = await sendLines(ndjson(items(10_000)), '?reference=bulk');
    expect({ status: lines.status, accepted: lines.body.accepted, reference: lines.body.reference }).toEqual({
      status: 202,
      accepted: 10_000,
      reference: 'bulk',
    });
    expect((await sendLines(ndjson(items(3)).trimEnd())).body.accepted).toBe(3);
    const read = await call('GET', `/v1/submissions/${lines.body.id}`);
    expect(read.body.items).toHaveLength(10_000);
    expect(read.body).toMatchObject({ states: { RECEIVED: 10_000 }, final: false, refused: 0 });
  });

  it('of 10,001 items is refused', async () => {
    await expectProblem(() => sendLines(ndjson(items(10_001))), 413, 'TOO_MANY_ITEMS');
    await expectProblem(() => sendLines(ndjson(items(10_001)), '?partial=true'), 413, 'TOO_MANY_ITEMS');
    const small = Array.from({ length: 10_001 }, () => 0);
    await expectProblem(() => call('POST', '/v1/submissions', { proofs: small }), 413, 'TOO_MANY_ITEMS');
  });

  it('of no item is refused', async () => {
    await expectProblem(() => call('POST', '/v1/submissions', { proofs: [] }), 400, 'SUBMISSION_EMPTY');
    await expectProblem(() => sendLines(''), 400, 'SUBMISSION_EMPTY');
  });

  it('with one bad item among 10,000 is refused whole, and the item named by its index', async () => {
    const values = items(10_000);
    values[7_123] = { digest: { alg: 'sha-256', value: 'xyz' } };
    const { body } = await expectProblem(() => sendLines(ndjson(values)), 422, 'ITEMS_REFUSED');
    expect(body.items).toEqual([{ index: 7_123, code: 'DIGEST_MALFORMED', detail: expect.any(String) }]);
    const json = await expectProblem(
      () => call('POST', '/v1/submissions', { proofs: values.slice(7_120, 7_130) }),
      422,
      'ITEMS_REFUSED',
    );
    expect(json.body.items).toEqual([{ index: 3, code: 'DIGEST_MALFORMED', detail: expect.any(String) }]);
  });

  it('accepts the good items with partial=true and reports the others by index', async () => {
    const bad = ['{"digest":', '', '{"digest":{},"digest":{}}', JSON.stringify({ digest: { alg: 'md5', value: '' } })];
    const lines = [...ndjson(items(3)).trimEnd().split('\n'), ...bad, JSON.stringify(item(9))].join('\n');
    await expectProblem(() => sendLines(lines), 422, 'ITEMS_REFUSED');
    const { status, body } = await sendLines(lines, '?partial=true');
    expect({ status, accepted: body.accepted, refused: body.refused }).toEqual({
      status: 202,
      accepted: 4,
      refused: 4,
    });
    const outcome = (entry: { index: number; id?: string; error?: { code: string } }): unknown => [
      entry.index,
      entry.error?.code ?? typeof entry.id,
    ];
    expect(body.items.map(outcome)).toEqual([
      [0, 'string'],
      [1, 'string'],
      [2, 'string'],
      [3, 'BODY_MALFORMED'],
      [4, 'BODY_MALFORMED'],
      [5, 'JSON_DUPLICATE_KEY'],
      [6, 'DIGEST_ALGORITHM_UNKNOWN'],
      [7, 'string'],
    ]);
    const read = await call('GET', `/v1/submissions/${body.id}`);
    const withoutEarlier = ({ earlier: _earlier, ...entry }: Record<string, unknown>): unknown => entry;
    expect(read.body).toEqual({ ...body, items: body.items.map(withoutEarlier) });
    const json = await call('POST', '/v1/submissions?partial=true', { proofs: [{ digest: 1 }, item(1)] });
    expect(json.body.items.map(outcome)).toEqual([
      [0, 'REQUEST_INVALID'],
      [1, 'string'],
    ]);
    await expectProblem(() => sendLines('{}\n{}', '?partial=true'), 422, 'ITEMS_REFUSED');
  });

  it('keeps a refusal whose text would be cut within a character', async () => {
    const cut = JSON.stringify({ digest: { alg: `${'a'.repeat(38)}😀`, value: '' } });
    const { status, body } = await sendLines(`${cut}\n${JSON.stringify(item(1))}`, '?partial=true');
    expect({ status, code: body.items[0].error.code }).toEqual({ status: 202, code: 'DIGEST_ALGORITHM_UNKNOWN' });
  });

  it('names at most a hundred refused items and the number of all', async () => {
    const { body } = await expectProblem(() => sendLines('{}\n'.repeat(10_000)), 422, 'ITEMS_REFUSED');
    expect({ named: body.items.length, refused: body.refused }).toEqual({ named: 100, refused: 10_000 });
  });

  it('is the same request as JSON and as NDJSON to an idempotency key', async () => {
    const headers = { 'idempotency-key': 'both-forms' };
    const json = await call('POST', '/v1/submissions', { proofs: items(3) }, headers);
    const lines = await call('POST', '/v1/submissions', ndjson(items(3)), {
      ...headers,
      'content-type': 'application/x-ndjson',
    });
    expect([json.status, lines.status, lines.headers.get('idempotent-replayed')]).toEqual([202, 200, 'true']);
    expect(lines.body.id).toBe(json.body.id);
  });

  it('is refused with a line over 64 KiB, a body over 32 MiB, or a wrong shape', async () => {
    const long = JSON.stringify({ ...item(1), metadata: { text: 'x'.repeat(65_536) } });
    const { body } = await expectProblem(() => sendLines(`${ndjson(items(2))}${long}\n`), 413, 'LINE_TOO_LONG');
    expect(body.items[0].index).toBe(2);
    const line = `${JSON.stringify({ ...item(1), metadata: { text: 'x'.repeat(16_000) } })}\n`;
    await expectProblem(() => sendLines(line.repeat(2_200)), 413, 'BODY_TOO_LARGE');
    await expectProblem(() => call('POST', '/v1/submissions', { proofs: {} }), 400, 'REQUEST_INVALID');
    await expectProblem(
      () => call('POST', '/v1/submissions', { proofs: [item(1)], anchorPolicy: 'MAYBE' }),
      400,
      'REQUEST_INVALID',
    );
    await expectProblem(
      () => call('POST', '/v1/submissions', { proofs: [item(1)], colour: 1 }),
      400,
      'REQUEST_INVALID',
    );
    await expectProblem(() => sendLines(ndjson(items(1)), '?anchorPolicy=MAYBE'), 400, 'REQUEST_INVALID');
    await expectProblem(() => sendLines(ndjson(items(1)), '?partial=perhaps'), 400, 'REQUEST_INVALID');
  });
});

describe('a stream that is cut off', () => {
  const head = (length: string): string =>
    [
      'POST /v1/submissions HTTP/1.1',
      'Host: x',
      `Authorization: Bearer ${apiKey}`,
      'Content-Type: application/x-ndjson',
      length,
      '',
      '',
    ].join('\r\n');

  /** What the server says to bytes after which the client sends no more. */
  const talk = (bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
      let said = '';
      socket.on('data', (chunk) => {
        said += chunk.toString();
      });
      socket.on('end', () => {
        socket.destroy();
        resolve(said);
      });
      socket.on('error', reject);
      socket.end(bytes);
    });

  it('accepts nothing, and says so to whoever still listens', async () => {
    const before = await proofCount();
    const line = ndjson(items(1));
    for (const bytes of [
      `${head('Content-Length: 5000')}${line.repeat(3)}`,
      `${head('Transfer-Encoding: chunked')}${line.length.toString(16)}\r\n${line}\r\n`,
    ]) {
      const said = await talk(bytes);
      expect(said).toContain('400 Bad Request');
      expect(said).toContain('application/problem+json');
      expect(said).toContain('"code":"STREAM_INTERRUPTED"');
    }
    expect(await proofCount()).toBe(before);
  });

  it('accepts nothing when the connection is lost', async () => {
    const before = await proofCount();
    const cut = new AbortController();
    let pulls = 0;
    const body = new ReadableStream({
      pull(controller) {
        pulls++;
        if (pulls < 5) controller.enqueue(new TextEncoder().encode(ndjson(items(10))));
        else cut.abort();
      },
    });
    const request = fetch(`${server.url}/v1/submissions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/x-ndjson' },
      body,
      duplex: 'half',
      signal: cut.signal,
    } as RequestInit);
    await expect(request).rejects.toThrow();
    // The next request is answered, and the lost one left nothing.
    expect((await call('GET', '/v1/proofs?limit=1')).status).toBe(200);
    expect(await proofCount()).toBe(before);
  });
});
