/** The least that accepts something durably: Express, a JSON body, one insert a request. Prints its address. */
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import express from 'express';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.argv[2], max: 50 });
await pool.query(
  'CREATE TABLE IF NOT EXISTS bench_bare (id uuid PRIMARY KEY, digest bytea NOT NULL, at timestamptz NOT NULL)',
);
const app = express();
app.use(express.json());
app.post('/', async (req, res) => {
  const { digest } = req.body as { digest: { value: string } };
  const id = randomUUID();
  await pool.query({
    name: 'insert',
    text: 'INSERT INTO bench_bare (id, digest, at) VALUES ($1, $2, now())',
    values: [id, Buffer.from(digest.value, 'hex')],
  });
  res.status(202).json({ id });
});
const server = app.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once('SIGTERM', async () => {
  await pool.query('DROP TABLE bench_bare');
  process.exit(0);
});
