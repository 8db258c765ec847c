/** The command line: `proofline verify`, `verify-record` and `submit`. Exit: 0 good, 1 not good or unreadable, 2 wrong call. */
import { WrongCall } from './cli/arguments.ts';
import { RECORD_USAGE, runVerifyRecord } from './cli/record-command.ts';
import { runSubmit, SUBMIT_USAGE } from './cli/submit-command.ts';
import { runVerify, VERIFY_USAGE } from './cli/verify-command.ts';

const USAGE = `Usage:
${VERIFY_USAGE}
${RECORD_USAGE}
${SUBMIT_USAGE}`;

async function run([command, ...rest]: readonly string[]): Promise<number> {
  switch (command) {
    case 'verify':
      return runVerify(rest);
    case 'verify-record':
      return runVerifyRecord(rest);
    case 'submit':
      return runSubmit(rest);
    case '--help':
    case '-h':
    case 'help':
      process.stdout.write(`${USAGE}\n`);
      return 0;
    default:
      throw new WrongCall(command === undefined ? 'a command is missing' : `no command ${JSON.stringify(command)}`);
  }
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const isWrongCall = error instanceof WrongCall;
  process.stderr.write(
    `proofline: ${error instanceof Error ? error.message : String(error)}\n${isWrongCall ? `\n${USAGE}\n` : ''}`,
  );
  process.exitCode = isWrongCall ? 2 : 1;
}
