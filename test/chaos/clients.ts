/** Clients that submit under idempotency keys and repeat until they are answered, as the documentation tells them. */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from './random.ts';

const CLIENTS = 4;
const ANSWER_WITHIN_MS = 5_000;
/** Proofs offered a second in the long run, and beyond it at once: an hour gives half a million. */
const RATE = 150;
const BURST = 5_000;
const POLICIES = ['NONE', 'PREFERRED', 'REQUIRED'] as const;

export interface ChaosTenant {
  readonly name: string;
  readonly id: string;
  readonly apiKey: string;
}

/** What a client was promised. */
export interface Acknowledged {
  readonly id: string;
  readonly tenant: ChaosTenant;
  readonly policy: (typeof POLICIES)[number];
  readonly idempotencyKey: string;
  /** Hex SHA-256, in the order sent. */
  readonly digests: readonly string[];
}

export interface Clients {
  readonly acknowledged: readonly Acknowledged[];
  readonly faults: readonly string[];
  /** Requests that got no answer, 429 or 5xx. */
  readonly repeated: () => number;
  /** Nothing new; resolves once each submission under way is acknowledged, or throws after `withinMs`. */
  finish(withinMs: number): Promise<void>;
}

export function startClients(apiUrl: string, tenants: readonly ChaosTenant[], random: Random): Clients {
  const acknowledged: Acknowledged[] = [];
  const faults: string[] = [];
  const stopping = new AbortController();
  const givingUp = new AbortController();
  const began = Date.now();
  let repeated = 0;
  let offered = 0;
  const mayOffer = (): boolean => offered < BURST + (RATE * (Date.now() - began)) / 1_000;

  /** One request; undefined if it is to be repeated. */
  const send = async (work: Omit<Acknowledged, 'id'>): Promise<string | undefined> => {
    const isBulk = work.digests.length > 200;
    const proofs = work.digests.map((value) => ({ digest: { alg: 'sha-256', value } }));
    const response = await fetch(`${apiUrl}/v1/submissions${isBulk ? `?anchorPolicy=${work.policy}` : ''}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${work.tenant.apiKey}`,
        'idempotency-key': work.idempotencyKey,
        'content-type': isBulk ? 'application/x-ndjson' : 'application/json',
      },
      body: isBulk
        ? `${proofs.map((proof) => JSON.stringify(proof)).join('\n')}\n`
        : JSON.stringify({ proofs, anchorPolicy: work.policy }),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    }).catch(() => undefined);
    const text = await response?.text().catch(() => undefined);
    if (response?.status === 200 || response?.status === 202) return text && (JSON.parse(text) as { id: string }).id;
    if (response !== undefined && response.status !== 429 && response.status < 500)
      throw new Error(`${response.status} ${text}`);
    repeated++;
    return undefined;
  };

  const submit = async (work: Omit<Acknowledged, 'id'>): Promise<string> => {
    for (let pauseMs = 50; ; pauseMs = Math.min(1_000, 2 * pauseMs)) {
      const id = await send(work);
      if (id !== undefined) return id;
      if (givingUp.signal.aborted) throw new Error('never acknowledged');
      await delay(pauseMs);
    }
  };

  const client = async (own: Random, n: number): Promise<void> => {
    for (let i = 0; !stopping.signal.aborted; i++) {
      const work = {
        tenant: own.pick(tenants),
        policy: own.pick(POLICIES),
        idempotencyKey: `chaos-${n}-${i}`,
        digests: Array.from({ length: sizeOf(own) }, (_, p) => digestOf(`${n}/${i}/${p}/${own.next()}`)),
      };
      const isTwin = own.next() < 0.1;
      while (!mayOffer() && !stopping.signal.aborted) await delay(50);
      offered += work.digests.length;
      try {
        // Twins: the same request twice at once is one submission.
        const ids = await Promise.all(isTwin ? [submit(work), submit(work)] : [submit(work)]);
        const [id = ''] = ids;
        acknowledged.push({ ...work, id });
        if (own.next() < 0.1) ids.push(await submit(work));
        if (ids.some((one) => one !== id)) faults.push(`the key ${work.idempotencyKey} named ${ids.join(', ')}`);
      } catch (error) {
        faults.push(`client ${n}: ${error instanceof Error ? error.message : error}`);
      }
      await delay(own.between(20, 400), undefined, { signal: stopping.signal }).catch(() => {});
    }
  };

  const running = Array.from({ length: CLIENTS }, (_, n) => client(random.fork(`client ${n}`), n));
  return {
    acknowledged,
    faults,
    repeated: () => repeated,
    async finish(withinMs) {
      stopping.abort();
      const timer = setTimeout(() => givingUp.abort(), withinMs);
      await Promise.all(running);
      clearTimeout(timer);
    },
  };
}

/** Mostly single proofs, now and then up to 3,000. */
function sizeOf(random: Random): number {
  const share = random.next();
  if (share < 0.6) return 1;
  if (share < 0.88) return random.between(2, 60);
  return share < 0.98 ? random.between(61, 1_000) : random.between(1_001, 3_000);
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
