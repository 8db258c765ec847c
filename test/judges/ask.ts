/** Asks each judge about many files. One start of Java and of Python for all of them; the small programs run a few at a time. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import { runCommand } from '../../local/stack/run-command.ts';
import { openCms } from '../../verifier/pdf/cms.ts';

export interface Opinion {
  readonly accepts: boolean;
  /** What it said, one line. */
  readonly words: string;
}
/** By name of the file. */
export type Opinions = ReadonlyMap<string, Opinion>;

export interface JudgedFile {
  readonly name: string;
  readonly path: string;
  /** What the file claims to be. */
  readonly level: 'B-T' | 'B-LT' | 'B-LTA';
  readonly isPdfA?: boolean;
  /** PEM files of the roots of signer and authority. */
  readonly signing: string;
  readonly stamping: string;
  /** When it was signed, seconds since the epoch. */
  readonly atSeconds: number;
}

export interface JudgedResponse {
  readonly name: string;
  readonly root: string;
  readonly query: string;
  readonly response: string;
}

const TIMEOUT_MS = 240_000;

/** Bouncy Castle and EU DSS, by name of the judge; veraPDF of the files that claim to be PDF/A-3b. */
export async function askJava(
  lib: string,
  dir: string,
  files: readonly (JudgedFile | JudgedResponse)[],
): Promise<Readonly<Record<'bouncycastle' | 'dss' | 'verapdf', Opinions>>> {
  const lines = files.map((file) =>
    'level' in file
      ? ['pdf', file.signing, file.stamping, file.path, ...(file.isPdfA === true ? ['pdfa'] : [])]
      : ['ts', file.root, file.query, file.response],
  );
  const list = join(dir, 'java.list');
  await writeFile(list, lines.map((parts) => `${parts.join('\t')}\n`).join(''));
  const options = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xmx512m', '-cp', `${lib}/*`];
  const said: string[] = [];
  const source = join(import.meta.dirname, 'java', 'Judge.java');
  const { code, output } = await runCommand('java', [...options, source, list], {
    timeoutMs: TIMEOUT_MS,
    onLine: (line) => said.push(line),
  });
  if (code !== 0) throw new Error(`the Java judges failed: ${output.slice(-2_000)}`);
  const of = (judge: string): Opinions =>
    new Map(
      said.flatMap((line) => {
        const [number = '', who, verdict, words = ''] = line.split('\t');
        const file = files[Number(number)];
        return who !== judge || file === undefined
          ? []
          : [[file.name, { accepts: verdict === 'accept', words }] as const];
      }),
    );
  return { bouncycastle: of('bouncycastle'), dss: of('dss'), verapdf: of('verapdf') };
}

export async function askPyHanko(lib: string, dir: string, files: readonly JudgedFile[]): Promise<Opinions> {
  const list = join(dir, 'python.list');
  await writeFile(
    list,
    files.map((file) => `${[file.level, file.signing, file.stamping, file.path].join('\t')}\n`).join(''),
  );
  const said: string[] = [];
  const { code, output } = await runCommand('python3', [join(import.meta.dirname, 'python', 'judge.py'), list], {
    timeoutMs: TIMEOUT_MS,
    env: { ...process.env, PYTHONPATH: lib, PYTHONDONTWRITEBYTECODE: '1' },
    onLine: (line) => said.push(line),
  });
  if (code !== 0) throw new Error(`pyHanko failed: ${output.slice(-2_000)}`);
  return new Map(
    said.flatMap((line) => {
      const [number = '', verdict, words = ''] = line.split('\t');
      const file = files[Number(number)];
      return file === undefined ? [] : [[file.name, { accepts: verdict === 'accept', words }] as const];
    }),
  );
}

/** Exits 0 on tampering too, so its text is what counts. */
export const askPdfsig = (files: readonly JudgedFile[]): Promise<Opinions> =>
  askEach(files, async ({ path }) => {
    const { output } = await run('pdfsig', [path]);
    return { accepts: /Signature is Valid\./.test(output) && !/Mismatch|Invalid|Failed/i.test(output), words: output };
  });

/** As pdfsig. It does not look at document timestamps. */
export const askMutool = (files: readonly JudgedFile[]): Promise<Opinions> =>
  askEach(files, async ({ path }) => {
    const { output } = await run('mutool', ['sign', '-v', path]);
    const isGood = /document is unchanged since signing|signature is valid but there have been edits/.test(output);
    return { accepts: isGood && !/Digest error/.test(output), words: output };
  });

/** Structure alone. */
export const askQpdf = (files: readonly JudgedFile[]): Promise<Opinions> =>
  askEach(files, async ({ path }) => {
    const { code, output } = await run('qpdf', ['--check', path]);
    return { accepts: code === 0 && /No syntax or stream encoding errors/.test(output), words: output };
  });

/** Every signature and timestamp of the file, cut out by its byte range and judged as CMS and as token. */
export const askOpenSsl = (dir: string, files: readonly JudgedFile[]): Promise<Opinions> =>
  askEach(files, async (file) => {
    const words: string[] = [];
    let accepts = true;
    for (const [i, part] of cutOut(new Uint8Array(await readFile(file.path))).entries()) {
      const at = (name: string): string => join(dir, `${file.name}-${i}.${name}`);
      await writeFile(at('data'), part.covered);
      await writeFile(at('der'), part.der);
      for (const answer of await (part.isStamp
        ? [checkToken(at('der'), at('data'), file)]
        : checkSignature(at, part.der, file))) {
        const { isGood, said } = await answer;
        accepts &&= isGood;
        words.push(said);
      }
    }
    return { accepts: accepts && words.length > 0, words: words.join(', ') };
  });

interface Answer {
  readonly isGood: boolean;
  readonly said: string;
}

async function checkSignature(
  at: (name: string) => string,
  der: Uint8Array,
  file: JudgedFile,
): Promise<Promise<Answer>[]> {
  const args = [
    '-cades',
    '-binary',
    '-inform',
    'DER',
    '-in',
    at('der'),
    '-content',
    at('data'),
    '-CAfile',
    file.signing,
  ];
  const signature = run('openssl', [
    'cms',
    '-verify',
    ...args,
    '-attime',
    String(file.atSeconds),
    '-out',
    '/dev/null',
  ]).then(({ code, output }) => ({
    isGood: code === 0 && /CAdES Verification successful/i.test(output),
    said: output,
  }));
  const cms = openCms(der, createVerificationCache(16));
  if (typeof cms === 'string' || cms.token === undefined)
    return [signature, Promise.resolve({ isGood: false, said: `no timestamp: ${typeof cms === 'string' ? cms : ''}` })];
  await writeFile(at('token'), cms.token);
  await writeFile(at('signature'), cms.signer.signature);
  return [signature, checkToken(at('token'), at('signature'), file)];
}

async function checkToken(token: string, data: string, file: JudgedFile): Promise<Answer> {
  const args = ['ts', '-verify', '-token_in', '-in', token, '-data', data, '-CAfile', file.stamping];
  const { output } = await run('openssl', [...args, '-attime', String(file.atSeconds + 3_600)]);
  return { isGood: /Verification: OK/.test(output), said: output };
}

interface CutOut {
  readonly covered: Uint8Array;
  readonly der: Uint8Array;
  readonly isStamp: boolean;
}

/** By the text of the byte ranges, not by our reader of PDFs: a judge should see what a stranger sees. */
function cutOut(bytes: Uint8Array): CutOut[] {
  const text = Buffer.from(bytes).toString('latin1');
  return [...text.matchAll(/\/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]/g)].map((match) => {
    const [from, first, second, rest] = match.slice(1).map(Number) as [number, number, number, number];
    const hex = text.slice(first + 1, second - 1);
    const padded = Buffer.from(hex, 'hex');
    const count = (padded[1] ?? 0) < 0x80 ? 0 : (padded[1] ?? 0) & 0x7f;
    const length = count === 0 ? (padded[1] ?? 0) : padded.readUIntBE(2, Math.min(count, 4));
    return {
      covered: Buffer.concat([bytes.subarray(from, from + first), bytes.subarray(second, second + rest)]),
      der: padded.subarray(0, 2 + count + length),
      isStamp: text.slice(Math.max(0, match.index - 200), match.index).includes('/ETSI.RFC3161'),
    };
  });
}

/** `openssl ts` with query and response. */
export async function askOpenSslTs(responses: readonly JudgedResponse[]): Promise<Opinions> {
  const found = await inTurns(responses, async ({ name, root, query, response }) => {
    const { output } = await run('openssl', ['ts', '-verify', '-queryfile', query, '-in', response, '-CAfile', root]);
    return [name, { accepts: /Verification: OK/.test(output), words: oneLine(output) }] as const;
  });
  return new Map(found);
}

async function askEach(files: readonly JudgedFile[], ask: (file: JudgedFile) => Promise<Opinion>): Promise<Opinions> {
  const found = await inTurns(files, async (file) => {
    const { accepts, words } = await ask(file);
    return [file.name, { accepts, words: oneLine(words) }] as const;
  });
  return new Map(found);
}

const AT_A_TIME = 3;

async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const out: R[] = [];
  const queue = items.entries();
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (const [i, item] of queue) out[i] = await work(item);
    }),
  );
  return out;
}

const run = (command: string, args: readonly string[]) => runCommand(command, args, { timeoutMs: 60_000 });
const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim().slice(0, 400);
