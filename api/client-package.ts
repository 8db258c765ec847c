/** What `@proofline/client` offers: the operations of the contract, their types, and how to make a client. */
export { type Client, type Config, createClient } from './generated/client/client/index.ts';
export * from './generated/client/index.ts';
