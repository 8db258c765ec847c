import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { PURPOSES } from './key-version.ts';
import { PROBLEMS } from './problem.ts';
import { LIMITS } from './read-body.ts';

interface Document {
  paths: Record<
    string,
    Record<string, { requestBody?: { content: Record<string, { schema: { properties: Record<string, unknown> } }> } }>
  >;
  components: Record<'responses' | 'schemas', Record<string, unknown>>;
}

const document = parse(await readFile(new URL('./openapi.yaml', import.meta.url), 'utf8')) as Document;

/** What stands at a path of member names. */
const at = (value: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>((v, name) => (v as Record<string, unknown>)[name], value);
const bodyOf = (path: string): unknown =>
  at(document.paths, path, 'post', 'requestBody', 'content', 'application/json', 'schema', 'properties');

describe('the contract of signer/1', () => {
  it('names exactly the problem codes and purposes that the signer knows', () => {
    expect(
      at(
        document.components.responses,
        'Problem',
        'content',
        'application/problem+json',
        'schema',
        'properties',
        'code',
        'enum',
      ),
    ).toEqual(Object.keys(PROBLEMS));
    expect(at(document.components.schemas, 'Key', 'properties', 'purpose', 'enum')).toEqual(PURPOSES);
  });

  it('states the limits that the signer applies', () => {
    expect(at(bodyOf('/v1/keys/{kid}/sign'), 'input', 'properties', 'values', 'maxItems')).toBe(LIMITS.values);
    expect(at(bodyOf('/v1/keys/{kid}/sign-transaction'), 'bodies', 'maxItems')).toBe(LIMITS.bodies);
  });
});
