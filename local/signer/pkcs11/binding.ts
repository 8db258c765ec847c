/** The part of `pkcs11js` that is used here. It is loaded when configured, and no dependency: it has native code. */
import { createRequire } from 'node:module';

export interface Attribute {
  readonly type: number;
  readonly value?: number | boolean | string | Buffer;
}

export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: unknown;
}

/** Objects and sessions are handles in a Buffer. */
export interface Pkcs11 {
  load(library: string): void;
  C_Initialize(options: { readonly flags: number }): void;
  C_GetSlotList(withToken: boolean): Buffer[];
  C_GetTokenInfo(slot: Buffer): { readonly label: string };
  C_OpenSession(slot: Buffer, flags: number): Buffer;
  C_Login(session: Buffer, user: number, pin: string): void;
  C_FindObjectsInit(session: Buffer, template: readonly Attribute[]): void;
  C_FindObjects(session: Buffer, max: number): Buffer[];
  C_FindObjectsFinal(session: Buffer): void;
  C_GetAttributeValue(session: Buffer, object: Buffer, template: readonly Attribute[]): { readonly value: Buffer }[];
  C_GenerateKeyPair(
    session: Buffer,
    mechanism: Mechanism,
    publicTemplate: readonly Attribute[],
    privateTemplate: readonly Attribute[],
  ): { readonly publicKey: Buffer; readonly privateKey: Buffer };
  C_SignInit(session: Buffer, mechanism: Mechanism, key: Buffer): void;
  C_Sign(session: Buffer, data: Uint8Array, into: Buffer): Buffer;
}

/** Constants of PKCS #11 v2.40 and 3.0. */
export const CK = {
  osLockingOk: 0x02,
  serialSession: 0x04,
  rwSession: 0x02,
  user: 1,
  publicKey: 2,
  privateKey: 3,
  attribute: {
    class: 0x00,
    token: 0x01,
    private: 0x02,
    label: 0x03,
    id: 0x102,
    sensitive: 0x103,
    sign: 0x108,
    verify: 0x10a,
    modulus: 0x120,
    modulusBits: 0x121,
    publicExponent: 0x122,
    extractable: 0x162,
    ecParams: 0x180,
    ecPoint: 0x181,
  },
  rsaKeyPairGen: 0x00,
  sha256RsaPkcs: 0x40,
  sha256RsaPkcsPss: 0x43,
  sha256: 0x250,
  mgf1Sha256: 0x02,
  ecKeyPairGen: 0x1040,
  ecdsa: 0x1041,
  edwardsKeyPairGen: 0x1055,
  eddsa: 0x1057,
  /** Kind of parameter of `pkcs11js`: RSA-PSS. */
  paramsRsaPss: 5,
} as const;

const ALREADY = /CKR_CRYPTOKI_ALREADY_INITIALIZED|CKR_USER_ALREADY_LOGGED_IN/;

/** Loads the binding from a path or by name. Throws Error that says how to get it. */
export function loadBinding(path: string): Pkcs11 {
  try {
    const { PKCS11 } = createRequire(import.meta.url)(path) as { PKCS11: new () => Pkcs11 };
    return new PKCS11();
  } catch (cause) {
    throw new Error(
      `the PKCS#11 binding ${path} does not load: install pkcs11js and name it by PROOFLINE_SIGNER_PKCS11_BINDING`,
      { cause },
    );
  }
}

/** Runs what another thread of this process may have done already. */
export function onceInProcess(run: () => void): void {
  try {
    run();
  } catch (cause) {
    if (!(cause instanceof Error) || !ALREADY.test(cause.message)) throw cause;
  }
}
