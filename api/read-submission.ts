/**
 * What a client submits, from JSON or from NDJSON streamed line by line, each item checked as it comes. The hash is
 * SHA-256 over the JCS of `{parameters, proofs}`, the same for both forms, built item by item so that a large stream
 * is never held twice.
 */
import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { canonicalText } from '../domain/canonical-json.ts';
import { ProoflineError } from '../domain/errors.ts';
import { MAX_ITEMS, type ProofInput, parseProofInput, parseReference } from '../domain/proof-input.ts';
import { parseStrictJson } from '../domain/strict-json.ts';
import type { RefusedItem } from '../store/submissions.read.ts';
import { decodeUtf8, readChunks, readJsonBody, requireMediaType } from './read-body.ts';

export const MAX_LINE_BYTES = 64 * 1024;
export const MAX_NDJSON_BYTES = 32 * 1024 * 1024;
/** Refused items that a problem document names; their number is given in full. */
const MAX_NAMED = 100;

export interface SubmittedItem {
  /** Its place in the request. */
  readonly index: number;
  readonly input: ProofInput;
}

export interface Submitted {
  readonly items: readonly SubmittedItem[];
  /** Under `partial=true`: what was left out. */
  readonly refused: readonly RefusedItem[];
  readonly reference?: string;
  /** As sent; the contract's validation comes after. */
  readonly anchorPolicy?: unknown;
  /** Hex. */
  readonly bodyHash: string;
}

/** Of the query string, as sent. */
export interface SubmissionParameters {
  readonly reference?: unknown;
  readonly anchorPolicy?: unknown;
  readonly partial: boolean;
}

/** What was read, and the good part of the body for the contract's validation. */
export interface ReadResult {
  readonly submitted: Submitted;
  readonly body: unknown;
}

/** One proof, `POST /v1/proofs`. Throws the errors of readJsonBody and parseProofInput. */
export async function readProofBody(req: IncomingMessage, anchorPolicy: unknown): Promise<ReadResult> {
  const body = await readJsonBody(req);
  const collector = new Collector({ anchorPolicy, partial: false });
  collector.hashItem(canonicalText(body));
  const submitted = collector.finish([{ index: 0, input: parseProofInput(body) }]);
  return { submitted, body };
}

/**
 * Up to 10,000 proofs, `POST /v1/submissions`. Throws ITEMS_REFUSED with `items` (without `partial`, or if no item is
 * good), SUBMISSION_EMPTY, TOO_MANY_ITEMS, LINE_TOO_LONG, and the errors of the body reader.
 */
export async function readSubmissionBody(req: IncomingMessage, parameters: SubmissionParameters): Promise<ReadResult> {
  const type = requireMediaType(req, 'application/json', 'application/x-ndjson');
  if (type === 'application/x-ndjson') return readNdjson(req, parameters);
  const body = await readJsonBody(req);
  // A body of another shape is the contract's to refuse: it names every place.
  if (typeof body !== 'object' || body === null || !('proofs' in body) || !Array.isArray(body.proofs))
    return { submitted: { items: [], refused: [], bodyHash: '' }, body };
  const { proofs, reference, anchorPolicy } = body as {
    proofs: unknown[];
    reference?: unknown;
    anchorPolicy?: unknown;
  };
  const collector = new Collector({
    reference: reference ?? parameters.reference,
    anchorPolicy: anchorPolicy ?? parameters.anchorPolicy,
    partial: parameters.partial,
  });
  for (const item of proofs) collector.addValue(item);
  const submitted = collector.finish();
  const good = new Set(submitted.items.map(({ index }) => index));
  return { submitted, body: { ...body, proofs: proofs.filter((_item, index) => good.has(index)) } };
}

async function readNdjson(req: IncomingMessage, parameters: SubmissionParameters): Promise<ReadResult> {
  const collector = new Collector(parameters);
  for await (const line of readLines(req)) collector.addLine(line);
  const submitted = collector.finish();
  return { submitted, body: submitted.items.map(({ input }) => input) };
}

/** Lines without their newline; the last may lack it. Throws LINE_TOO_LONG with the line's index. */
async function* readLines(req: IncomingMessage): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let heldLength = 0;
  let index = 0;
  const keep = (part: Uint8Array): void => {
    heldLength += part.length;
    if (heldLength > MAX_LINE_BYTES)
      throw new ProoflineError('LINE_TOO_LONG', `item ${index} is longer than ${MAX_LINE_BYTES} bytes`, {
        extra: { items: [{ index, code: 'LINE_TOO_LONG', detail: '' }] },
      });
    held.push(part);
  };
  for await (const chunk of readChunks(req, MAX_NDJSON_BYTES)) {
    let start = 0;
    for (let end = chunk.indexOf(10, start); end >= 0; end = chunk.indexOf(10, start)) {
      keep(chunk.subarray(start, end));
      yield held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held);
      held = [];
      heldLength = 0;
      index++;
      start = end + 1;
    }
    if (start < chunk.length) keep(chunk.subarray(start));
  }
  if (heldLength > 0) yield Buffer.concat(held);
}

class Collector {
  readonly #parameters: SubmissionParameters;
  readonly #reference: string | undefined;
  readonly #items: SubmittedItem[] = [];
  readonly #refused: RefusedItem[] = [];
  readonly #hash: Hash;
  #count = 0;

  constructor(parameters: SubmissionParameters) {
    this.#parameters = parameters;
    this.#reference = parameters.reference === undefined ? undefined : parseReference(parameters.reference);
    const { reference, anchorPolicy, partial } = parameters;
    this.#hash = createHash('sha256').update(
      `{"parameters":${canonicalText({ anchorPolicy, partial, reference })},"proofs":[`,
    );
  }

  addLine(line: Uint8Array): void {
    let value: unknown;
    try {
      value = parseStrictJson(decodeUtf8(line));
    } catch (error) {
      // What cannot be read is hashed as it came.
      this.#refuse(error, canonicalText({ unreadable: Buffer.from(line).toString('base64') }));
      return;
    }
    this.addValue(value);
  }

  addValue(value: unknown): void {
    const text = canonicalText(value);
    try {
      const input = parseProofInput(value);
      this.hashItem(text);
      this.#items.push({ index: this.#count - 1, input });
    } catch (error) {
      this.#refuse(error, text);
    }
  }

  hashItem(text: string): void {
    if (this.#count === MAX_ITEMS) throw new ProoflineError('TOO_MANY_ITEMS', `more than ${MAX_ITEMS}`);
    this.#hash.update(this.#count === 0 ? text : `,${text}`);
    this.#count++;
  }

  #refuse(error: unknown, text: string): void {
    if (!(error instanceof ProoflineError) || error.code === 'TOO_MANY_ITEMS') throw error;
    this.hashItem(text);
    this.#refused.push({ index: this.#count - 1, code: error.code, detail: error.detail.toWellFormed() });
  }

  finish(items: readonly SubmittedItem[] = this.#items): Submitted {
    if (this.#count === 0) throw new ProoflineError('SUBMISSION_EMPTY');
    if (this.#refused.length > 0 && (!this.#parameters.partial || items.length === 0)) {
      throw new ProoflineError('ITEMS_REFUSED', `${this.#refused.length} of ${this.#count} items`, {
        extra: { refused: this.#refused.length, items: this.#refused.slice(0, MAX_NAMED) },
      });
    }
    const { anchorPolicy } = this.#parameters;
    return {
      items,
      refused: this.#refused,
      ...(this.#reference === undefined ? {} : { reference: this.#reference }),
      ...(anchorPolicy === undefined ? {} : { anchorPolicy }),
      bodyHash: this.#hash.update(']}').digest('hex'),
    };
  }
}
