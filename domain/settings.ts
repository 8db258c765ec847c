/**
 * Configuration as data: a schema names each key with its reader; the environment is parsed once, and refused whole
 * with every fault listed. A `PROOFLINE_` key that no schema names is a fault too: it is a typing error.
 */
import { ProoflineError } from './errors.ts';

/** Reads one value; throws an Error whose message says what was expected. */
export type Reader<T> = (text: string) => T;

export interface Setting<T> {
  readonly key: string;
  readonly read: Reader<T>;
  /** Absent: the setting is required. */
  readonly fallback?: T;
}

export type Schema = Readonly<Record<string, Setting<unknown>>>;
export type Settings<S extends Schema> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

export function required<T>(key: string, read: Reader<T>): Setting<T> {
  return { key, read };
}

export function optional<T>(key: string, read: Reader<T>, fallback: T): Setting<T> {
  return { key, read, fallback };
}

export const readText: Reader<string> = (text) => text;

/** An integer in [min, max]. */
export function readInteger(min: number, max: number): Reader<number> {
  return (text) => {
    const value = Number(text);
    if (!/^-?[0-9]{1,15}$/.test(text) || value < min || value > max)
      throw new Error(`an integer from ${min} to ${max}`);
    return value;
  };
}

export function readOneOf<const T extends string>(...values: readonly T[]): Reader<T> {
  return (text) => {
    const found = values.find((value) => value === text);
    if (found === undefined) throw new Error(`one of ${values.join(', ')}`);
    return found;
  };
}

/** An absolute URL of one of the protocols, e.g. `https:`; without a trailing slash. */
export function readUrl(...protocols: readonly string[]): Reader<string> {
  return (text) => {
    const url = URL.parse(text);
    if (url === null || !protocols.includes(url.protocol)) throw new Error(`a URL (${protocols.join(' ')})`);
    return text.replace(/\/$/, '');
  };
}

/**
 * Parses an environment by a schema. Keys of other processes may be named in `ignored`. Throws CONFIG_INVALID with
 * every fault in `extra.faults`; a value is never repeated, since it may be a secret.
 */
export function parseSettings<S extends Schema>(
  schema: S,
  environment: Readonly<Record<string, string | undefined>>,
  ignored: readonly string[] = [],
): Settings<S> {
  const faults: string[] = [];
  const out: Record<string, unknown> = {};
  const known = new Set([...ignored, ...Object.values(schema).map((setting) => setting.key)]);
  for (const key of Object.keys(environment)) {
    if (key.startsWith('PROOFLINE_') && !known.has(key)) faults.push(`${key} is not a setting`);
  }
  for (const [name, setting] of Object.entries(schema)) {
    const text = environment[setting.key];
    if (text === undefined || text === '') {
      if ('fallback' in setting) out[name] = setting.fallback;
      else faults.push(`${setting.key} is missing`);
      continue;
    }
    try {
      out[name] = setting.read(text);
    } catch (error) {
      faults.push(`${setting.key} must be ${error instanceof Error ? error.message : 'readable'}`);
    }
  }
  if (faults.length > 0) throw new ProoflineError('CONFIG_INVALID', faults.join('; '), { extra: { faults } });
  return out as Settings<S>;
}
