import { readFile } from 'node:fs/promises';
import type { TsaConfig } from '../activities/timestamping/tsa-pool.ts';
import { ProoflineError } from '../domain/errors.ts';
import { parseStrictJson } from '../domain/strict-json.ts';

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

/** Reads `PROOFLINE_TSAS_FILE`: a JSON list of authorities in order of preference. Throws CONFIG_INVALID. */
export async function readTsas(file: string): Promise<readonly TsaConfig[]> {
  const list = parseStrictJson(await readFile(file, 'utf8'));
  if (!Array.isArray(list) || list.length === 0)
    throw new ProoflineError('CONFIG_INVALID', `${file} must list at least one authority`);
  return list.map((item: Record<string, unknown>, i) => {
    const { name, url, policies, roots, crls, selfOperated } = item;
    if (
      typeof name !== 'string' ||
      typeof url !== 'string' ||
      !isTexts(policies) ||
      !isTexts(roots) ||
      typeof selfOperated !== 'boolean' ||
      (crls !== undefined && !isTexts(crls))
    ) {
      throw new ProoflineError(
        'CONFIG_INVALID',
        `${file}: authority ${i} needs name, url, policies, roots, selfOperated and, if any, crls`,
      );
    }
    return { name, url, policies, roots, selfOperated, ...(crls !== undefined && { crls }) };
  });
}
