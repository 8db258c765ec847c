import { Connection } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { readSearchAttributes, type SearchAttributeType } from './search-attributes.ts';

/** What the server calls the types. */
export const INDEXED_VALUE_TYPES: Readonly<Record<SearchAttributeType, temporal.api.enums.v1.IndexedValueType>> = {
  Text: 1,
  Keyword: 2,
  Int: 3,
  Double: 4,
  Bool: 5,
  Datetime: 6,
  KeywordList: 7,
};

/**
 * Gives a namespace the search attributes that it lacks; returns their names. Repeatable. Throws if one is there with
 * another type, since that cannot be changed.
 */
export async function applySearchAttributes(address: string, namespace: string): Promise<readonly string[]> {
  const connection = await Connection.connect({ address });
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing: [string, SearchAttributeType][] = [];
    for (const [name, type] of Object.entries(readSearchAttributes())) {
      const found = customAttributes?.[name];
      if (found === undefined) missing.push([name, type]);
      else if (found !== INDEXED_VALUE_TYPES[type])
        throw new Error(`search attribute ${name} of ${namespace} is not of type ${type}`);
    }
    if (missing.length > 0) {
      const searchAttributes = Object.fromEntries(missing.map(([name, type]) => [name, INDEXED_VALUE_TYPES[type]]));
      await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
    }
    return missing.map(([name]) => name);
  } finally {
    await connection.close();
  }
}
