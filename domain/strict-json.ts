import { ProoflineError } from './errors.ts';

const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 §7 bars exactly these from strings
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;
const HEX4 = /^[0-9a-fA-F]{4}$/;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/**
 * Parses one JSON text (RFC 8259) and refuses what would be lost before canonicalisation (RFC 7493 §2): a member
 * named twice, a number that a double does not hold exactly beyond ±2^53 or at all, a lone surrogate; and
 * nesting beyond 64 levels. Throws BODY_MALFORMED, JSON_DUPLICATE_KEY, JSON_NUMBER_OUT_OF_RANGE,
 * JSON_LONE_SURROGATE or JSON_TOO_DEEP with the offset.
 */
export function parseStrictJson(text: string): unknown {
  const parser = new StrictParser(text);
  return parser.parseDocument();
}

class StrictParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parseDocument(): unknown {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at !== this.#text.length) this.#malformed('text after the value');
    return value;
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH)
      throw new ProoflineError('JSON_TOO_DEEP', `more than ${MAX_DEPTH} levels at offset ${this.#at}`);
    this.#skipSpace();
    const c = this.#text[this.#at];
    switch (c) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    this.#at++;
    this.#skipSpace();
    if (this.#take('}')) return out;
    do {
      this.#skipSpace();
      const start = this.#at;
      if (this.#text[this.#at] !== '"') this.#malformed('a member name is missing');
      const key = this.#string();
      if (Object.hasOwn(out, key))
        throw new ProoflineError('JSON_DUPLICATE_KEY', `${JSON.stringify(key)} again at offset ${start}`);
      this.#skipSpace();
      if (!this.#take(':')) this.#malformed("':' is missing");
      const value = this.#value(depth + 1);
      // A plain assignment of "__proto__" would set the prototype instead of a member.
      if (key === '__proto__')
        Object.defineProperty(out, key, { value, enumerable: true, writable: true, configurable: true });
      else out[key] = value;
      this.#skipSpace();
    } while (this.#take(','));
    if (!this.#take('}')) this.#malformed("',' or '}' is missing");
    return out;
  }

  #array(depth: number): unknown[] {
    const out: unknown[] = [];
    this.#at++;
    this.#skipSpace();
    if (this.#take(']')) return out;
    do {
      out.push(this.#value(depth + 1));
      this.#skipSpace();
    } while (this.#take(','));
    if (!this.#take(']')) this.#malformed("',' or ']' is missing");
    return out;
  }

  #string(): string {
    const start = this.#at++;
    let out = '';
    for (;;) {
      PLAIN.lastIndex = this.#at;
      const plain = (PLAIN.exec(this.#text) as RegExpExecArray)[0];
      out += plain;
      this.#at += plain.length;
      if (this.#take('"')) break;
      if (!this.#take('\\')) this.#malformed('a string is not closed or holds a control character');
      out += this.#escape();
    }
    if (!out.isWellFormed()) throw new ProoflineError('JSON_LONE_SURROGATE', `in the string at offset ${start}`);
    return out;
  }

  #escape(): string {
    const c = this.#text[this.#at++];
    if (c === 'u') {
      const digits = this.#text.slice(this.#at, this.#at + 4);
      if (!HEX4.test(digits)) this.#malformed('a \\u escape lacks its four digits');
      this.#at += 4;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    return (c === undefined ? undefined : ESCAPES[c]) ?? this.#malformed('an unknown escape');
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const text = NUMBER.exec(this.#text)?.[0];
    if (text === undefined) return this.#malformed('a value is missing');
    const value = Number(text);
    if (!Number.isFinite(value) || Math.abs(value) > Number.MAX_SAFE_INTEGER) {
      throw new ProoflineError('JSON_NUMBER_OUT_OF_RANGE', `${text.slice(0, 40)} at offset ${this.#at}`);
    }
    this.#at += text.length;
    return value;
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#malformed('a value is missing');
    this.#at += word.length;
    return value;
  }

  #take(c: string): boolean {
    if (this.#text[this.#at] !== c) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    this.#at = SPACE.lastIndex;
  }

  #malformed(why: string): never {
    throw new ProoflineError('BODY_MALFORMED', `${why} at offset ${this.#at}`);
  }
}
