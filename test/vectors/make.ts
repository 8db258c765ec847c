/**
 * Writes `verifier/vectors/` anew: `node test/vectors/make.ts`; with `pdf` as argument, those of certificate PDFs alone; with names, those
 * vectors alone, the others stay. Keys follow from seeds; ECDSA signatures and so tokens, seals and leaves differ from run
 * to run, so the folder is only rewritten on purpose.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { badVectors } from './bad-vectors.ts';
import { contractVectors } from './contract-vectors.ts';
import { goodVectors } from './good-vectors.ts';
import { malformedVectors } from './malformed-vectors.ts';
import { GOOD_PDF, type PdfVector, pdfVectors } from './pdf-vectors.ts';
import { makeScene } from './scene.ts';
import { GOOD, NOW, type Vector } from './vector.ts';

const target = join(import.meta.dirname, '..', '..', 'verifier', 'vectors');

async function writeVector(vector: Vector): Promise<void> {
  const folder = join(target, vector.name);
  await mkdir(folder, { recursive: true });
  const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
  const { bundle } = vector;
  await writeFile(
    join(folder, 'bundle.json'),
    typeof bundle === 'string' || Buffer.isBuffer(bundle) ? bundle : json(bundle),
  );
  if (vector.trust !== undefined) await writeFile(join(folder, 'trust.json'), json(vector.trust));
  if (vector.file !== undefined) await writeFile(join(folder, 'file'), vector.file);
  const claims = Object.entries({ ...GOOD, ...vector.claims }).map(([claim, [verdict, reason]]) => [
    claim,
    { verdict, reason },
  ]);
  const expected = {
    says: vector.says,
    now: vector.now ?? NOW,
    overall: vector.overall,
    claims: Object.fromEntries(claims),
  };
  await writeFile(join(folder, 'expected.json'), json(expected));
}

async function writePdfVector({ name, says, pdf, bundle, trust, overall, claims, level }: PdfVector): Promise<void> {
  const folder = join(target, name);
  await mkdir(folder, { recursive: true });
  const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
  await writeFile(join(folder, 'certificate.pdf'), pdf);
  if (bundle !== undefined) await writeFile(join(folder, 'bundle.json'), json(bundle));
  if (trust !== undefined) await writeFile(join(folder, 'trust.json'), json(trust));
  const expected = {
    says,
    now: NOW,
    overall,
    ...(level === undefined ? {} : { level }),
    claims: Object.fromEntries(
      Object.entries({ ...GOOD_PDF, ...claims }).map(([claim, [verdict, reason]]) => [claim, { verdict, reason }]),
    ),
  };
  await writeFile(join(folder, 'expected.json'), json(expected));
}

const scene = await makeScene();
const names = process.argv.slice(2);
const isPdfOnly = names[0] === 'pdf';
if (isPdfOnly || names.length === 0) {
  const pdfs = await pdfVectors(scene);
  for (const folder of await readdir(target))
    if (folder.startsWith('pdf-')) await rm(join(target, folder), { recursive: true });
  for (const vector of pdfs) await writePdfVector(vector);
  process.stdout.write(`${pdfs.length} PDF vectors in ${target}\n`);
}
if (isPdfOnly) process.exit();
const vectors = [
  ...(await goodVectors(scene)),
  ...(await badVectors(scene)),
  ...contractVectors(scene),
  ...malformedVectors(scene),
];
const chosen = names.length === 0 ? vectors : vectors.filter(({ name }) => names.includes(name));
for (const name of names) if (!chosen.some((vector) => vector.name === name)) throw new Error(`no vector ${name}`);
if (names.length === 0)
  for (const folder of await readdir(target))
    if (!folder.startsWith('pdf-')) await rm(join(target, folder), { recursive: true });
for (const vector of chosen) await writeVector(vector);
process.stdout.write(`${chosen.length} vectors in ${target}\n`);
