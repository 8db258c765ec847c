/** Tells at commit whoever waits for the end of something (`?wait`) what may have ended. A ring is a hint: who hears it asks for the rows. */
import type { Queryable } from './pool.ts';

/** A payload holds less than 8,000 bytes; an id and a space are 37. */
const IDS_A_RING = 200;

/**
 * Rings for these proofs, submissions, imports, changes or requests, and for the PDFs of these proofs; for nobody where there are none.
 * Part of the transaction that ends them: told at its commit, or never.
 */
export async function ringDone(tx: Queryable, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  const payloads: string[] = [];
  for (let i = 0; i < ids.length; i += IDS_A_RING) payloads.push(ids.slice(i, i + IDS_A_RING).join(' '));
  await tx.query("SELECT pg_notify('proofline_done', p) FROM unnest($1::text[]) AS p", [payloads]);
}

/** Rings for everybody: where much may have ended, and seldom. */
export async function ringEveryone(tx: Queryable): Promise<void> {
  await tx.query("SELECT pg_notify('proofline_done', '')");
}

/** Whom a payload names; undefined if it is for everybody. */
export function readRing(payload: string): readonly string[] | undefined {
  return payload === '' ? undefined : payload.split(' ');
}
