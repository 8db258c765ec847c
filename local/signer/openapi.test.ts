import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { VERBS } from './handle-request.ts';
import { KEY_ALGS, KEY_STATES, PURPOSES } from './key-version.ts';
import { PROBLEMS } from './problem.ts';
import { LIMITS } from './read-body.ts';

interface Document {
  paths: Record<
    string,
    Record<string, { requestBody?: { content: Record<string, { schema: { properties: Record<string, unknown> } }> } }>
  >;
  components: Record<'responses' | 'schemas' | 'requestBodies', Record<string, unknown>>;
}

const document = parse(await readFile(new URL('./openapi.yaml', import.meta.url), 'utf8')) as Document;
const { schemas, responses, requestBodies } = document.components;
const JSON_SCHEMA = ['content', 'application/json', 'schema', 'properties'];

/** What stands at a path of member names. */
const at = (value: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>((v, name) => (v as Record<string, unknown>)[name], value);
const bodyOf = (verb: string): unknown =>
  at(document.paths, `/v1/keys/{kid}/${verb}`, 'post', 'requestBody', ...JSON_SCHEMA);

describe('the contract of signer/1', () => {
  it('names exactly the problem codes, purposes, algorithms and states that the signer knows', () => {
    const problem = ['Problem', 'content', 'application/problem+json', 'schema', 'properties', 'code', 'enum'];
    expect(at(responses, ...problem)).toEqual(Object.keys(PROBLEMS));
    expect(at(schemas, 'Key', 'properties', 'purpose', 'enum')).toEqual(PURPOSES);
    expect(at(schemas, 'Version', 'properties', 'alg', 'enum')).toEqual(KEY_ALGS);
    expect(at(schemas, 'Version', 'properties', 'state', 'enum')).toEqual(KEY_STATES);
  });

  it('describes every operation that the signer has, and no other', () => {
    const prefix = '/v1/keys/{kid}/';
    const described = Object.keys(document.paths).filter((path) => path.startsWith(prefix));
    expect(described.map((path) => path.slice(prefix.length)).toSorted()).toEqual(Object.keys(VERBS).toSorted());
    expect(Object.keys(document.paths)).toHaveLength(described.length + 4);
  });

  it('states the limits that the signer applies', () => {
    expect(at(bodyOf('sign'), 'input', 'properties', 'values', 'maxItems')).toBe(LIMITS.values);
    expect(at(schemas, 'Values', 'maxItems')).toBe(LIMITS.values);
    expect(at(bodyOf('sign-transaction'), 'bodies', 'maxItems')).toBe(LIMITS.bodies);
    expect(at(requestBodies, 'Cipher', ...JSON_SCHEMA, 'aad', 'description')).toContain(
      LIMITS.aadBytes.toLocaleString('en'),
    );
    expect(at(bodyOf('timestamp'), 'query', 'description')).toContain(LIMITS.queryBytes.toLocaleString('en'));
  });
});
