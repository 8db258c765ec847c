/**
 * `npm run contract -- <verb>`: compile, create-payer, create-topic, deploy, verify, anchor, read (`contracts/README.md`). Every verb prints one line of
 * JSON. The network is that of the ledger file (`--ledger FILE`, default `PROOFLINE_LEDGER_FILE`); what pays is
 * `--operator 0.0.x` with its key in `--key-file FILE` (PKCS #8 PEM), which no other verb than these ever sees.
 */
import { runContract } from './run-contract.ts';

runContract(process.argv.slice(2), process.env).then(
  (answer) => console.log(JSON.stringify(answer)),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  },
);
