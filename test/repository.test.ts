import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const ROOT = join(import.meta.dirname, '..');
const OTHERS = /(^|\/)(node_modules|generated|dist|\.git|\.proofline)\//;

/** Source and documentation, as paths from the root. */
const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter(
  (path) => /\.(ts|md|yaml|sql)$/.test(path) && !OTHERS.test(path),
);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

describe('runbooks', () => {
  const named = new Set(
    files.flatMap((path) => [...read(path).matchAll(/runbooks\/([a-z0-9-]+\.md)/g)].map(([, name]) => name)),
  );
  const there = readdirSync(join(ROOT, 'runbooks')).filter((name) => name.endsWith('.md'));

  it('exist wherever code or a page names one', () => {
    expect(there).toEqual(expect.arrayContaining([...named]));
  });

  // A page is of a fault, or of something that an operator does.
  it.each(there)('%s has every part of its kind', (name) => {
    const text = read(`runbooks/${name}`).toLowerCase();
    const parts = text.includes('**command.**')
      ? ['**meaning.**', '**when.**', '**what it does.**', '**confirm.**']
      : ['**meaning.**', '**impact.**', '**diagnosis', 'mitigation', '**confirm it is over.**'];
    for (const part of parts) expect(text).toContain(part);
  });
});

describe('dependencies', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  const versionsOf = (isMeant: (name: string) => boolean): Set<string | undefined> =>
    new Set(
      Object.entries(packages)
        .filter(([path]) => isMeant(path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)))
        .map(([, { version }]) => version),
    );

  it('have every Temporal package at one version, as its OpenTelemetry plugin and its serialisers demand', () => {
    expect([...versionsOf((name) => name.startsWith('@temporalio/'))]).toEqual(['1.23.0']);
  });

  it('give those packages the protobufjs of the root; a second copy fails on histories in JSON', () => {
    const beneath = Object.keys(packages).filter((path) => /@temporalio\/.*node_modules\/protobufjs$/.test(path));
    expect({ beneath, root: packages['node_modules/protobufjs']?.version }).toEqual({
      beneath: [],
      root: expect.stringMatching(/^8\./),
    });
  });
});
