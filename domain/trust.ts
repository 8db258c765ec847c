/** What an independent verifier needs once and can pin: `/.well-known/proofline.json` and the trust file. */
import type { PublishedKey } from './bundle.ts';

export interface TrustDocument {
  readonly instance: string;
  readonly origin: string;
  /** Log keys as C2SP vkeys `<origin>+<hash>+<base64>`, each with the tree sizes it signs from (and to), decimal. */
  readonly vkeys: readonly { readonly vkey: string; readonly fromSize: string; readonly toSize?: string }[];
  readonly jwks: { readonly keys: readonly PublishedKey[] };
  /** PEM certificates. */
  readonly roots: { readonly signing: readonly string[]; readonly tsa: readonly string[] };
  readonly tsas: readonly {
    readonly name: string;
    readonly url: string;
    readonly policies: readonly string[];
    readonly selfOperated: boolean;
  }[];
  readonly ledgers: readonly TrustedLedger[];
  /** Base URL of checkpoint and tiles. */
  readonly log: string;
  readonly verifier: { readonly source: string; readonly page?: string };
}

/** Where anchors are believed: a topic that only the submit key may write to, or a registry contract. */
export type TrustedLedger =
  | {
      readonly kind: 'hedera-hcs/v1';
      readonly network: string;
      readonly topicId: string;
      readonly submitKey: string;
      readonly explorer?: string;
    }
  | {
      readonly kind: 'hedera-contract/v1';
      readonly network: string;
      readonly contractId: string;
      readonly explorer?: string;
    };
