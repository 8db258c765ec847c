/** What a local authority can be told to do wrong, as data. */
export const TSA_FAULTS = [
  'wrong-nonce',
  'no-nonce',
  'wrong-imprint',
  'wrong-policy',
  /** These four need the certificate of that name in the options. */
  'eku-missing',
  'eku-extra',
  'eku-not-critical',
  'untrusted-chain',
  'wrong-ess',
  'wrong-signature',
  /** A rejection: HTTP 200, PKIStatus 2. */
  'status-2',
  'http-400',
  'http-429',
  'http-500',
  'http-503',
  /** Never answers. */
  'hang',
  /** Makes the token, then drops the connection. */
  'reply-lost',
  /** genTime is off by `skewMs`. */
  'clock-skew',
  'no-certificates',
  /** The reply ends early. */
  'truncated',
  /** A whole reply around a token that ends early. */
  'truncated-token',
  'trailing-bytes',
  /** 70,000 bytes. */
  'oversized',
  /** Every token bears the serial of the first. */
  'repeated-serial',
] as const;

export type TsaFaultKind = (typeof TSA_FAULTS)[number];

export interface TsaFault {
  readonly kind: TsaFaultKind;
  /** How many requests it hits; left out, all until it is cleared. */
  readonly times?: number;
  /** For `clock-skew`; default −300,000. */
  readonly skewMs?: number;
}

/** The fault in a JSON body, or undefined if it is none. */
export function readFault(value: unknown): TsaFault | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, times, skewMs, ...rest } = value as Record<string, unknown>;
  const isWhole = (one: unknown): one is number | undefined => one === undefined || Number.isSafeInteger(one);
  const known = TSA_FAULTS.find((one) => one === kind);
  if (known === undefined || !isWhole(times) || !isWhole(skewMs) || Object.keys(rest).length > 0) return undefined;
  return { kind: known, ...(times === undefined ? {} : { times }), ...(skewMs === undefined ? {} : { skewMs }) };
}

/** Hands out the fault in force, once per request. */
export class FaultSwitch {
  #fault: TsaFault | undefined;
  #left = 0;

  set(fault: TsaFault | undefined): void {
    this.#fault = fault;
    this.#left = fault?.times ?? Number.POSITIVE_INFINITY;
  }

  get current(): TsaFault | undefined {
    return this.#left > 0 ? this.#fault : undefined;
  }

  take(): TsaFault | undefined {
    const fault = this.current;
    this.#left--;
    return fault;
  }
}
