import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { BundleTimestamp } from '../domain/bundle.ts';
import { parseBundle } from '../domain/bundle-parse.ts';
import { utf8 } from '../domain/bytes.ts';
import { recordOf } from '../domain/evidence-record/archive-steps.ts';
import { stepsOfTimestamp } from '../domain/evidence-record/of-timestamp.ts';
import { writeEvidenceRecord } from '../domain/evidence-record/record.ts';

const LAUNCHER = join(import.meta.dirname, 'proofline.mjs');
const vector = (name: string, file = 'bundle.json'): string => join(import.meta.dirname, 'vectors', name, file);
const GOOD = [
  vector('good-anchored'),
  vector('good-anchored', 'file'),
  '--trust',
  vector('good-anchored', 'trust.json'),
];

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'proofline-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(args: readonly string[], nodeArgs: readonly string[] = []): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...nodeArgs, LAUNCHER, ...args],
      { cwd: folder, env: { PATH: process.env.PATH ?? '' } },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

describe('proofline verify-record', () => {
  const trust = ['--trust', vector('good-anchored', 'trust.json')];
  const recordOfBundle = (name: string): string => {
    const { checkpoint = '', timestamps } = parseBundle(readFileSync(vector(name), 'utf8'));
    const body = utf8.encode(`${checkpoint.split('\n\n')[0]}\n`);
    const path = join(folder, 'proof.ers');
    writeFileSync(path, writeEvidenceRecord(recordOf(stepsOfTimestamp(body, timestamps[0] as BundleTimestamp))));
    return path;
  };

  it('judges a record over the checkpoint of its bundle', async () => {
    const record = recordOfBundle('good-anchored');
    const { stdout } = await run(['verify-record', record, vector('good-anchored'), '--json', ...trust]);
    expect(JSON.parse(stdout)).toMatchObject({ over: 'checkpoint', timestamps: 1, revocation: 'good' });
    const other = await run(['verify-record', record, vector('good-tree-of-one'), ...trust]);
    expect([other.code, /^verdict +invalid$/m.test(other.stdout)]).toEqual([1, true]);
  });

  it('refuses what is no record, and needs to know whom to believe', async () => {
    const bundle = vector('good-anchored');
    const { code, stdout } = await run(['verify-record', bundle, bundle, ...trust]);
    expect([code, /^verdict +invalid$/m.test(stdout)]).toEqual([1, true]);
    expect((await run(['verify-record', bundle, bundle])).code).toBe(2);
    expect((await run(['verify-record', bundle])).code).toBe(2);
  });
});

describe('proofline verify', () => {
  it('prints every claim with its reason and exits 0 when all is valid', async () => {
    const { code, stdout } = await run(['verify', ...GOOD]);
    expect(code).toBe(0);
    expect(stdout).toContain('instance alpha');
    expect(stdout).toContain('not consulted');
    expect(stdout).toMatch(/^ {2}digest +valid /m);
    expect(stdout).toMatch(/^ {2}anchor +unverified +The anchor is consistent in itself; the ledger was not asked/m);
    expect(stdout).toMatch(/^Overall: valid$/m);
  });

  it('judges a certificate PDF beside its bundle, with the result of the library', async () => {
    const files = [
      vector('pdf-good-b-lt', 'certificate.pdf'),
      '--bundle',
      vector('pdf-good-b-lt'),
      '--trust',
      vector('pdf-good-b-lt', 'trust.json'),
    ];
    const { code, stdout } = await run(['verify', ...files]);
    expect(code).toBe(0);
    expect(stdout).toContain('PAdES B-LT');
    expect(stdout).toMatch(/^ {2}bundle +valid +The PDF carries the certificate of the bundle, byte for byte\.$/m);
    const json = await run(['verify', ...files, vector('good-anchored', 'file'), '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      overall: 'valid',
      level: 'B-LT',
      claims: { digest: { verdict: 'valid' }, bundle: { reason: 'bundle-equal' } },
      bundle: { overall: 'valid' },
    });
  });

  it('exits 1 on a PDF that was tampered with, is cut short or too long, and 2 on a bundle beside a bundle', async () => {
    const trust = ['--trust', vector('pdf-b-t', 'trust.json')];
    const long = join(folder, 'long.pdf');
    writeFileSync(long, Buffer.concat([Buffer.from('%PDF-1.7\n'), Buffer.alloc(3_000_000)]));
    for (const [path, reason] of [
      [vector('pdf-bad-shadow-page', 'certificate.pdf'), 'pdf-changed-after-signature'],
      [vector('pdf-bad-truncated', 'certificate.pdf'), 'pdf-malformed'],
      [long, 'pdf-too-large'],
    ] as const) {
      const { code, stdout } = await run(['verify', path, '--json', ...trust]);
      expect([code, JSON.parse(stdout).claims.document.reason]).toEqual([1, reason]);
    }
    expect((await run(['verify', ...GOOD, '--bundle', vector('good-anchored')])).code).toBe(2);
  });

  it('opens no socket', async () => {
    const trap = join(folder, 'trap.mjs');
    writeFileSync(
      trap,
      `import net from 'node:net'; import dns from 'node:dns'; import dgram from 'node:dgram';
       const refuse = () => { process.stderr.write('A SOCKET WAS OPENED'); process.exit(99); };
       net.Socket.prototype.connect = refuse; dns.lookup = refuse; dgram.createSocket = refuse; globalThis.fetch = refuse;`,
    );
    const offline = await run(['verify', ...GOOD, '--offline'], ['--import', trap]);
    expect(offline).toMatchObject({ code: 0, stderr: '' });
    const online = await run(['verify', ...GOOD, '--mirror', 'http://127.0.0.1:9'], ['--import', trap]);
    expect(online.code).toBe(99);
  });

  it('prints the result of the library with --json', async () => {
    const { code, stdout } = await run(['verify', ...GOOD, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      overall: 'valid',
      trust: 'pinned',
      consulted: { ledger: false },
      claims: {
        digest: { verdict: 'valid', reason: 'digest-equal' },
        anchor: { verdict: 'unverified', reason: 'ledger-not-consulted' },
      },
      subject: { proof: '00000000-0000-4000-8000-000000000003', certificateNumber: 'PL-2026-000003' },
    });
  });

  it('refuses values that the statement does not commit to, and what is no disclosure', async () => {
    const file = join(folder, 'disclosure.json');
    writeFileSync(file, '{"reference":"a","referenceSalt":"AAAAAAAAAAAAAAAAAAAAAA"}');
    const { code, stdout } = await run(['verify', ...GOOD, '--disclosure', file]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^ {2}reference +invalid +The statement commits to no such value/m);
    writeFileSync(file, '{"reference":"a"}');
    expect((await run(['verify', ...GOOD, '--disclosure', file])).stderr).toContain('DISCLOSURE_MALFORMED');
    writeFileSync(file, '{}');
    expect(await run(['verify', ...GOOD, '--disclosure', file])).toMatchObject({ code: 0 });
  });

  it('says that it trusts the own keys of the bundle where no trust file is', async () => {
    const { code, stdout } = await run(['verify', vector('good-anchored')]);
    expect(code).toBe(1);
    expect(stdout).toContain("the bundle's own keys");
    expect(stdout).toMatch(/^Overall: unverified$/m);
  });

  it('takes .proofline/trust.json by default', async () => {
    const { mkdirSync } = await import('node:fs');
    mkdirSync(join(folder, '.proofline'));
    writeFileSync(join(folder, '.proofline', 'trust.json'), readFileSync(vector('good-anchored', 'trust.json')));
    expect(await run(['verify', vector('good-anchored')])).toMatchObject({ code: 0 });
  });

  it('exits 1 on a tampered bundle, on another file and on what cannot be read', async () => {
    const other = join(folder, 'other');
    writeFileSync(other, 'other');
    const [bundle = '', , ...trust] = GOOD;
    for (const args of [
      [vector('bad-token'), ...trust],
      [bundle, other, ...trust],
      [vector('malformed-random-bytes'), ...trust],
      [join(folder, 'missing.json')],
      [bundle, join(folder, 'missing'), ...trust],
      [bundle, '--trust', join(folder, 'missing.json')],
      [bundle, '--trust', vector('malformed-random-bytes')],
      [folder],
    ])
      expect([args, (await run(['verify', ...args])).code]).toEqual([args, 1]);
  });

  it('does not pass control characters of a bundle to the terminal', async () => {
    const hostile = join(folder, 'hostile.json');
    writeFileSync(hostile, readFileSync(vector('good-anchored'), 'utf8').replace('{', '{"\\u001b[31mred":1,'));
    const { code, stdout } = await run(['verify', hostile]);
    expect(code).toBe(1);
    expect(stdout).not.toContain('\u001b');
  });

  it.each([
    [[]],
    [['judge']],
    [['verify']],
    [['verify', 'a', 'b', 'c']],
    [['verify', 'a', '--nonsense']],
    [['verify', 'a', '--offline', '--mirror', 'http://x']],
    [['verify', 'a', '--mirror', 'ftp://x']],
    [['submit']],
    [['submit', 'a', '--timeout', 'x']],
  ])('exits 2 with the usage when called as %j', async (args) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toContain('Usage:');
  });
});

describe('proofline submit', () => {
  const proof = '00000000-0000-4000-8000-000000000003';
  const submission = (state: string, final: boolean): unknown => ({
    id: 'sub-1',
    final,
    items: [{ index: 0, id: proof, state }],
  });

  /** Serves `listener` while `use` runs. */
  async function withServer<T>(listener: RequestListener, use: (url: string) => Promise<T>): Promise<T> {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  it('sends the digest under one idempotency key however often it must try, waits, and writes the bundle', async () => {
    const keys: unknown[] = [];
    const bodies: string[] = [];
    let polls = 0;
    const listener: RequestListener = (request, response) => {
      const send = (status: number, body: unknown): void => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(typeof body === 'string' ? body : JSON.stringify(body));
      };
      if (request.headers.authorization !== 'Bearer pl_test_key') return send(401, { code: 'UNAUTHENTICATED' });
      if (request.method === 'POST') {
        keys.push(request.headers['idempotency-key']);
        request.setEncoding('utf8');
        request.on('data', (chunk: string) => bodies.push(chunk));
        request.on('end', () =>
          keys.length === 1 ? request.socket.destroy() : send(202, submission('RECEIVED', false)),
        );
        return;
      }
      if (request.url?.startsWith('/v1/submissions/sub-1?wait='))
        return send(200, ++polls < 2 ? submission('SEALED', false) : submission('CERTIFIED', true));
      if (request.url === `/v1/proofs/${proof}/bundle`) return send(200, readFileSync(vector('good-anchored'), 'utf8'));
      send(404, {});
    };
    const outcome = await withServer(listener, (url) =>
      run([
        'submit',
        vector('good-anchored', 'file'),
        '--wait',
        '--api',
        url,
        '--key',
        'pl_test_key',
        '--out',
        'evidence',
      ]),
    );
    expect(outcome.stderr).toContain('1 CERTIFIED');
    expect(outcome).toMatchObject({ code: 0 });
    expect(new Set(keys).size).toBe(1);
    expect(keys.length).toBe(2);
    expect(JSON.parse(bodies[1] ?? '')).toEqual({
      proofs: [
        { digest: { alg: 'sha-256', value: '581027de3a76105a725b495b670af37bb7e3a09d03af8f95b0ea6a3b42b4d2a2' } },
      ],
    });
    expect(readFileSync(join(folder, 'evidence', 'file.bundle.json'), 'utf8')).toBe(
      readFileSync(vector('good-anchored'), 'utf8'),
    );
  });

  it('shows the problem that the API names, and never the key', async () => {
    const listener: RequestListener = (_, response) => {
      response.writeHead(401, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify({ code: 'UNAUTHENTICATED', title: 'no such key' }));
    };
    const outcome = await withServer(listener, (url) =>
      run(['submit', vector('good-anchored', 'file'), '--api', url, '--key', 'pl_test_secret']),
    );
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('UNAUTHENTICATED');
    expect(outcome.stdout + outcome.stderr).not.toContain('pl_test_secret');
  });
});
