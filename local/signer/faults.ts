import { generateKeyPairSync, sign } from 'node:crypto';
import { base64Url, toJson } from './operation.ts';
import { SignerProblem } from './problem.ts';

export type StruckEffect = 'hang' | 'done-but-lost' | 'wrong-signature' | 'another-key';

/**
 * A fault of the signer as data, for tests and drills. `refused` and `unavailable` answer before anything is done,
 * `hang` never answers, `done-but-lost` does the work and drops the connection, `wrong-signature` spoils the last
 * signature of the answer (the one kept for a repeat stays good), `another-key` signs all of it with a key that nobody
 * knows, `value-refused` names one value.
 */
export interface SignerFault {
  readonly at: 'sign' | 'sign-transaction' | 'keys' | 'log-memory';
  readonly effect: 'refused' | 'unavailable' | 'value-refused' | StruckEffect;
  /** Only for this key. */
  readonly kid?: string;
  /** Of `value-refused`; 0 unless told. */
  readonly index?: number;
  /** How often; without end unless told. */
  readonly times?: number;
}

export interface Faults {
  set(faults: readonly SignerFault[]): void;
  /** The fault that strikes this request, which is counted; problems among them are thrown. */
  strike(at: SignerFault['at'], kid: string | undefined): StruckEffect | undefined;
}

export function createFaults(): Faults {
  let left: { readonly fault: SignerFault; times: number }[] = [];
  return {
    set(faults) {
      left = faults.map((fault) => ({ fault, times: fault.times ?? Number.POSITIVE_INFINITY }));
    },
    strike(at, kid) {
      const hit = left.find(
        ({ fault, times }) => times > 0 && fault.at === at && (fault.kid === undefined || fault.kid === kid),
      );
      if (hit === undefined) return undefined;
      hit.times--;
      const { effect, index = 0 } = hit.fault;
      switch (effect) {
        case 'refused':
          throw new SignerProblem('policy_denied', 'refused by a fault that was set');
        case 'unavailable':
          throw new SignerProblem('unavailable', 'unavailable by a fault that was set');
        case 'value-refused':
          throw new SignerProblem('value_refused', `value ${index} refused by a fault that was set`, { index });
        default:
          return effect;
      }
    },
  };
}

/** The answer as a signer gives it that a fault has struck. */
export function spoil(answer: Buffer, effect: StruckEffect | undefined, values: unknown): Buffer {
  const body = JSON.parse(answer.toString('utf8')) as { signatures: string[] };
  if (effect === 'wrong-signature') return toJson({ ...body, signatures: flipLast(body.signatures) });
  if (effect !== 'another-key' || !Array.isArray(values)) return answer;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signatures = values.map((value) =>
    sign('sha256', Buffer.from(String(value), 'base64url'), { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  );
  return toJson({ ...body, signatures: signatures.map(base64Url) });
}

function flipLast(signatures: readonly string[]): string[] {
  const last = Buffer.from(signatures.at(-1) ?? '', 'base64url');
  last[last.length - 1] = (last.at(-1) ?? 0) ^ 0x01;
  return [...signatures.slice(0, -1), base64Url(last)];
}
