import { type ParseArgsConfig, parseArgs } from 'node:util';

/** The command was called wrongly: exit 2. */
export class WrongCall extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true; strict: true }>
>;

/** Options and positionals. Throws WrongCall on anything that is not declared. */
export function readArguments<O extends Options>(args: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new WrongCall(error instanceof Error ? (error.message.split('. ')[0] ?? '') : 'wrong arguments');
  }
}
