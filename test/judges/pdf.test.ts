import 'reflect-metadata';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadFonts } from '../../activities/rendering/fonts.ts';
import { renderCertificate } from '../../activities/rendering/render-certificate.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { runCommand } from '../../local/stack/run-command.ts';
import { verifyPdf } from '../../verifier/pdf/verify-pdf.ts';
import { HOUR_MS } from '../pdf/authorities.ts';
import { type BadPdf, tamperedPdfs, wronglySignedPdfs } from '../pdf/bad-pdfs.ts';
import { type Levels, makeLevels, makePdfWorld, type PdfWorld, trustOf } from '../pdf/world.ts';
import { exampleView } from '../support/pdf-fixture.ts';
import { makeScene } from '../vectors/scene.ts';
import {
  askJava,
  askMutool,
  askOpenSsl,
  askPdfsig,
  askPyHanko,
  askQpdf,
  type JudgedFile,
  type Opinions,
} from './ask.ts';
import { type Program, provideJudges } from './provide.ts';

const provided = await provideJudges((line) => process.stderr.write(`${line}\n`));
for (const why of provided.missing) process.stderr.write(`\nSKIPPED: judges of PDFs. ${why}\n\n`);
const withProgram = (...names: Program[]) => (names.every((name) => provided.programs.has(name)) ? it : it.skip);
const withJava = provided.java === undefined ? it.skip : it;
const withPython = provided.python === undefined ? it.skip : it;

const ALGS = ['ES256', 'RS256', 'PS256'] as const;
const LEVELS = ['B-T', 'B-LT', 'B-LTA', 'renewed'] as const;
// Everything happened some hours ago, so that judges without a clock of their own see it in the past.
const AT = Date.now() - 8 * HOUR_MS;

const dir = mkdtempSync(join(tmpdir(), 'proofline-judges-'));
const good: JudgedFile[] = [];
const bad: (JudgedFile & { readonly is: BadPdf })[] = [];
let verapdf: Opinions | undefined;
const opinions: Partial<Record<string, Opinions>> = {};
let trust: TrustDocument;
const view = exampleView();

function save(name: string, bytes: Uint8Array, level: JudgedFile['level'], world: PdfWorld, alg: string): JudgedFile {
  const at = (file: string, content: string | Uint8Array): string => {
    writeFileSync(join(dir, file), content);
    return join(dir, file);
  };
  return {
    name,
    path: at(`${name}.pdf`, bytes),
    level,
    signing: at(`${alg}-signing.pem`, world.signing.pem),
    stamping: at(`${alg}-stamping.pem`, world.tsa.pem),
    atSeconds: Math.floor(AT / 1000),
  };
}

const levelOf = (levels: Levels, bytes: Uint8Array): JudgedFile['level'] =>
  bytes.length > levels['B-LTA'].length - 200 ? 'B-LTA' : 'B-LT';

beforeAll(async () => {
  const unsigned = await renderCertificate(view, loadFonts());
  const scene = await makeScene();
  for (const alg of ALGS) {
    const world = await makePdfWorld(alg, AT);
    const levels = await makeLevels(world, unsigned);
    for (const level of LEVELS)
      good.push({
        ...save(`${alg}-${level}`, levels[level], level === 'renewed' ? 'B-LTA' : level, world, alg),
        isPdfA: true,
      });
    if (alg !== 'ES256') continue;
    trust = trustOf(world, scene.trust);
    const all = [...tamperedPdfs(levels), ...(await wronglySignedPdfs(world, unsigned, levels))];
    for (const is of all.filter(({ name }) => name !== 'too-large'))
      bad.push({ ...save(is.name, is.bytes, levelOf(levels, is.bytes), world, alg), is });
  }
  const files = [...good, ...bad];
  const [java, python] = await Promise.all([
    provided.java === undefined ? undefined : askJava(provided.java, dir, files),
    provided.python === undefined ? undefined : askPyHanko(provided.python, dir, files),
  ]);
  verapdf = java?.verapdf;
  const has = (program: Program): boolean => provided.programs.has(program);
  Object.assign(opinions, {
    ...(java === undefined ? {} : { bouncycastle: java.bouncycastle, dss: java.dss }),
    ...(python === undefined ? {} : { pyhanko: python }),
    ...(has('openssl') ? { openssl: await askOpenSsl(dir, files) } : {}),
    ...(has('pdfsig') ? { pdfsig: await askPdfsig(files) } : {}),
    ...(has('mutool') ? { mutool: await askMutool(files) } : {}),
    ...(has('qpdf') ? { qpdf: await askQpdf(files) } : {}),
  });
}, 280_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What the judge said of each file that it refused. */
function refusals(judge: string, files: readonly JudgedFile[]): Record<string, string> {
  const said = opinions[judge];
  return Object.fromEntries(
    files.flatMap(({ name }) => {
      const opinion = said?.get(name);
      return opinion?.accepts === true ? [] : [[name, opinion?.words ?? 'not asked']];
    }),
  );
}

describe('certificate PDFs of every level and algorithm', () => {
  withProgram('openssl')('are good CAdES signatures with good timestamps to openssl', () => {
    expect(refusals('openssl', good)).toEqual({});
  });
  withJava('are good to Bouncy Castle', () => expect(refusals('bouncycastle', good)).toEqual({}));
  withPython('are good to pyHanko, revocation required from B-LT on', () =>
    expect(refusals('pyhanko', good)).toEqual({}),
  );
  withProgram('pdfsig')('are good to pdfsig', () => expect(refusals('pdfsig', good)).toEqual({}));
  withProgram('mutool')('are good to mutool, which cannot read RSA-PSS', () => {
    expect(
      refusals(
        'mutool',
        good.filter(({ name }) => !name.startsWith('PS256')),
      ),
    ).toEqual({});
  });
  withProgram('qpdf')('are well-formed to qpdf', () => expect(refusals('qpdf', good)).toEqual({}));

  withJava('have the level that EU DSS detects, B-T being inconclusive to it as to us', () => {
    const said = good.map(({ name }) => [name, opinions.dss?.get(name)?.words ?? ''] as const);
    for (const [name, words] of said) {
      const level = name.replace(/^\w+-/, '').replace('renewed', 'B-LTA').replace('B-', 'PAdES-BASELINE-');
      expect([name, words]).toEqual([name, expect.stringContaining(`${level} `)]);
      if (name.endsWith('B-T')) expect(words).toMatch(/INDETERMINATE .*No revocation data found/);
    }
    expect(Object.keys(refusals('dss', good)).sort()).toEqual(['ES256-B-T', 'PS256-B-T', 'RS256-B-T']);
  });

  withJava('stay PDF/A-3b to veraPDF through every revision', () => {
    const said = good.map(({ name }) => [name, verapdf?.get(name)?.words ?? 'not asked']);
    expect(said).toEqual(good.map(({ name }) => [name, expect.stringMatching(/^PDF\/A-3b, [0-9]{4} checks$/)]));
  });

  withProgram('qpdf')('carry the canonical JSON byte for byte, as qpdf takes it out', async () => {
    const [first] = good;
    const { output } = await runCommand('qpdf', ['--show-attachment=certificate.json', first?.path ?? ''], {
      timeoutMs: 30_000,
    });
    expect(output).toBe(Buffer.from(view.payloadBytes).toString());
  });
});

describe('PDFs that are not what they say', () => {
  /** No judge asked looks there, or looks for less: the rest of the file, the purpose of time, what came before. */
  const OURS_ALONE = ['bytes-after-end', 'lists-older-than-signature', 'object-after-signature'];

  it('are refused by us, each by the claim that it contradicts', async () => {
    for (const { is } of bad) {
      const result = await verifyPdf(is.bytes, { trust, nowMs: Date.now() });
      expect([is.name, result.overall, result.claims[is.claim].reason]).toEqual([is.name, is.overall, is.reason]);
    }
  });

  (provided.missing.length > 0 ? it.skip : it)('are refused by another judge too', () => {
    const judges = Object.keys(opinions);
    expect(judges.sort()).toEqual(['bouncycastle', 'dss', 'mutool', 'openssl', 'pdfsig', 'pyhanko', 'qpdf']);
    const alone = bad.filter(({ name }) => judges.every((judge) => opinions[judge]?.get(name)?.accepts === true));
    if (process.env.SHOW_JUDGES === '1')
      for (const { name } of bad)
        process.stderr.write(
          `${name}: ${judges.filter((judge) => opinions[judge]?.get(name)?.accepts !== true).join(' ')}\n`,
        );
    expect(alone.map(({ name }) => name).filter((name) => !OURS_ALONE.includes(name))).toEqual([]);
  });
});
