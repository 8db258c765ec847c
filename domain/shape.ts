/**
 * Reads parsed JSON against a closed shape: every member is named, an unknown one refuses the whole. A refusal
 * carries the path of the hostile value (`$.anchors[0].payer`), so that a reader finds it.
 */

/** A value that does not have its shape. `path` begins with `$`; `expected` says what should stand there. */
export class ShapeFault extends Error {
  readonly path: string;
  readonly expected: string;

  constructor(path: string, expected: string) {
    super(`${path}: ${expected}`);
    this.name = 'ShapeFault';
    this.path = path;
    this.expected = expected;
  }
}

/** Returns the value, typed, or throws ShapeFault. */
export type Read<T> = (value: unknown, path: string) => T;

type Members = Readonly<Record<string, Read<unknown>>>;
type NoMembers = Record<never, Read<never>>;
type Value<R> = R extends Read<infer T> ? T : never;
export type ObjectOf<R extends Members, O extends Members> = { readonly [K in keyof R]: Value<R[K]> } & {
  readonly [K in keyof O]?: Value<O[K]>;
};

/** An object with all of `required`, any of `optional`, and nothing else. */
export function object<R extends Members>(required: R): Read<ObjectOf<R, NoMembers>>;
export function object<R extends Members, O extends Members>(required: R, optional: O): Read<ObjectOf<R, O>>;
export function object(required: Members, optional: Members = {}): Read<unknown> {
  const readers = new Map<string, Read<unknown>>(Object.entries({ ...required, ...optional }));
  const names = Object.keys(required);
  return (value, path) => {
    const source = asObject(value, path);
    const out: Record<string, unknown> = {};
    for (const key of Object.keys(source)) {
      const read = readers.get(key);
      if (read === undefined) throw new ShapeFault(`${path}.${key.slice(0, 80)}`, 'no such member');
      out[key] = read(source[key], `${path}.${key}`);
    }
    for (const name of names)
      if (!Object.hasOwn(out, name)) throw new ShapeFault(`${path}.${name}`, 'the member is missing');
    return out;
  };
}

/** An object whose unknown members are passed over: for documents that others may extend. */
export function openObject<R extends Members>(required: R): Read<ObjectOf<R, NoMembers>>;
export function openObject<R extends Members, O extends Members>(required: R, optional: O): Read<ObjectOf<R, O>>;
export function openObject(required: Members, optional: Members = {}): Read<unknown> {
  const known = { ...required, ...optional };
  const read = object(required, optional);
  return (value, path) => {
    const source = asObject(value, path);
    return read(Object.fromEntries(Object.entries(source).filter(([key]) => Object.hasOwn(known, key))), path);
  };
}

export function list<T>(item: Read<T>, max: number, min = 0): Read<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new ShapeFault(path, 'an array is expected');
    if (value.length > max || value.length < min)
      throw new ShapeFault(path, `${min} to ${max} entries are expected, not ${value.length}`);
    return Array.from(value, (entry, i) => item(entry, `${path}[${i}]`));
  };
}

/** A string that `accepts`; `expected` names its form. `max` counts UTF-16 units and is checked first. */
export function text(expected: string, max: number, accepts: RegExp | ((value: string) => boolean)): Read<string> {
  const isGood = typeof accepts === 'function' ? accepts : (value: string): boolean => accepts.test(value);
  return (value, path) => {
    if (typeof value !== 'string') throw new ShapeFault(path, `a string is expected: ${expected}`);
    if (value.length > max) throw new ShapeFault(path, `${value.length} characters, at most ${max}`);
    if (!isGood(value)) throw new ShapeFault(path, `${expected} is expected`);
    return value;
  };
}

export function oneOf<const T extends string>(...values: readonly T[]): Read<T> {
  return (value, path) => {
    const found = values.find((one) => one === value);
    if (found === undefined) throw new ShapeFault(path, `one of ${values.join(', ')} is expected`);
    return found;
  };
}

export const bool: Read<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw new ShapeFault(path, 'true or false is expected');
  return value;
};

/** An integer from 1 to 2^31 - 1. */
export const positive: Read<number> = (value, path) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 0x7fff_ffff)
    throw new ShapeFault(path, 'a positive integer is expected');
  return value;
};

/** Reads by the form that the value of `member` (or its absence) asks for; without one, by the last form. */
export function byMember<T>(
  member: string,
  isFirst: (value: unknown) => boolean,
  first: Read<T>,
  second: Read<T>,
): Read<T> {
  return (value, path) => (isFirst(asObject(value, path)[member]) ? first : second)(value, path);
}

function asObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ShapeFault(path, 'an object is expected');
  return value as Record<string, unknown>;
}
