/** The bytes that a deployment runs: the committed byte code, then the constructor's arguments. */
import { readArtefact } from './compile.ts';

/** Both are addresses of 20 bytes: `0x` and 40 lower-case digits. */
export interface RegistryRoles {
  readonly owner: string;
  readonly publisher: string;
}

/** Two words. Throws TypeError for what is no address. */
export function constructorParametersOf({ owner, publisher }: RegistryRoles): Uint8Array {
  return Buffer.from(`${word(owner)}${word(publisher)}`, 'hex');
}

/** What tells one deployment from those of other code or other roles. Throws TypeError for what is no address. */
export function initcodeOf(roles: RegistryRoles): Uint8Array {
  return Buffer.concat([Buffer.from(readArtefact().bytecode, 'hex'), constructorParametersOf(roles)]);
}

function word(address: string): string {
  if (!/^0x[0-9a-f]{40}$/.test(address)) throw new TypeError(`${address} is not an address`);
  return address.slice(2).padStart(64, '0');
}
