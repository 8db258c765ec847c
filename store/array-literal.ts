/**
 * A Postgres array of values that need no quotes: UUIDs and integers. The driver's own arrays look at every character of
 * every element, which costs a set of thousands milliseconds.
 */
export function arrayLiteral(values: readonly (string | number | bigint)[]): string {
  return `{${values.join(',')}}`;
}
