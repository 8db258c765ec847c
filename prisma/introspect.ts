import { withEngine } from './schema-engine.ts';

/** What schema.prisma begins with; everything below comes from the database. */
const HEAD = `// Made by \`npm run db:pull\` from a database with every migration applied. The migrations are the source: what Prisma
// cannot say (checks, row-level security, functions, grants) is there alone, and \`npm run db:diff\` compares all of it.
generator client {
  provider        = "prisma-client"
  output          = "../store/generated"
  runtime         = "nodejs"
  previewFeatures = ["partialIndexes"]
}

datasource db {
  provider = "postgresql"
}
`;

/** The text of schema.prisma for the database of `url`. */
export async function introspect(url: string): Promise<string> {
  const { schema } = await withEngine(
    url,
    (engine) =>
      engine.introspect({
        schema: { files: [{ path: 'schema.prisma', content: HEAD }] },
        baseDirectoryPath: '/',
        force: true,
        compositeTypeDepth: 0,
        namespaces: null,
      }),
    HEAD,
  );
  const [file] = schema.files;
  if (file === undefined) throw new Error('introspection gave no schema');
  // Prisma's notes on what it cannot express are said once, in the head.
  return file.content.replace(/^\/\/\/ This (?:table|model) contains .*\n/gm, '');
}
