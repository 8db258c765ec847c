import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** How many columns a Postgres visibility store has for each type: more attributes than these cannot be created. */
export const COLUMNS = { Keyword: 10, KeywordList: 3, Text: 3, Int: 3, Double: 3, Bool: 3, Datetime: 3 } as const;
export type SearchAttributeType = keyof typeof COLUMNS;

/** The declared attributes, by name. Throws if one has an unknown type or a type is over its columns. */
export function readSearchAttributes(
  text: string = readFileSync(new URL('./search-attributes.yaml', import.meta.url), 'utf8'),
): Readonly<Record<string, SearchAttributeType>> {
  const declared = parse(text) as Record<string, SearchAttributeType>;
  const used = new Map<SearchAttributeType, number>();
  for (const [name, type] of Object.entries(declared)) {
    if (!Object.hasOwn(COLUMNS, type)) throw new Error(`search attribute ${name} has the unknown type ${type}`);
    const count = (used.get(type) ?? 0) + 1;
    if (count > COLUMNS[type]) throw new Error(`more than ${COLUMNS[type]} search attributes of type ${type}: ${name}`);
    used.set(type, count);
  }
  return declared;
}
