import { existsSync, readdirSync, readFileSync } from "node:fs";

/**
 * A package may depend only on packages of a strictly lower layer (docs/design/0001); tests may also use
 * testkit. Fails on any other dependency, on a package without a layer, and on a missing README.
 */
const LAYER: Readonly<Record<string, number>> = {
  core: 0,
  image: 1,
  auth: 1,
  wire: 1,
  bits: 1,
  swarm: 2,
  runtime: 2,
  net: 2,
  store: 2,
  origin: 3,
  tracker: 3,
  client: 3,
  publisher: 3,
  cli: 4,
  testkit: 5,
  sim: 6,
};

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const SCOPE = "@ckmesh/";
const problems: string[] = [];
for (const dir of readdirSync("packages")) {
  const manifest = JSON.parse(readFileSync(`packages/${dir}/package.json`, "utf8")) as Manifest;
  if (manifest.name !== SCOPE + dir) problems.push(`packages/${dir} is named ${manifest.name}`);
  if (!existsSync(`packages/${dir}/README.md`)) problems.push(`packages/${dir} has no README.md`);
  const own = LAYER[dir];
  if (own === undefined) {
    problems.push(`${manifest.name}: no layer assigned in scripts/check-layers.ts`);
    continue;
  }
  for (const dep of Object.keys(manifest.dependencies ?? {}).filter((d) => d.startsWith(SCOPE))) {
    const other = LAYER[dep.slice(SCOPE.length)];
    if (other === undefined || other >= own) problems.push(`${manifest.name} must not depend on ${dep}`);
  }
  for (const dep of Object.keys(manifest.devDependencies ?? {}).filter((d) => d.startsWith(SCOPE))) {
    if (dep !== `${SCOPE}testkit`) problems.push(`${manifest.name} must not depend on ${dep} for tests`);
  }
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
}
