// @ts-check
/**
 * JSON schemas for kubeconform, from files that ship inside Go modules: Kubernetes' description of its API, and the
 * definitions of custom resources. Needs no network once the modules are downloaded.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';

/** @typedef {any} Schema */

const INT_OR_STRING = { oneOf: [{ type: 'string' }, { type: 'integer' }] };
const QUANTITY = { oneOf: [{ type: 'string' }, { type: 'number' }] };

/**
 * @param {import('./tools.mjs').Tools} tools
 * @param {readonly string[]} versions of Kubernetes
 * @returns {Promise<string>} their folder, in the layout of `LOCATIONS`
 */
export async function schemas(tools, versions) {
  const out = join(tools.cache, 'chart-schemas');
  const wanted = JSON.stringify(versions);
  const stamp = join(out, 'versions.json');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return out;
  tools.say('writing JSON schemas …');
  rmSync(out, { recursive: true, force: true });
  for (const version of versions)
    builtIn(join(await tools.goModule(`k8s.io/kubernetes@v${version}`), 'api/openapi-spec/swagger.json'), version, out);
  const gateway = join(await tools.crdModule('gateway'), 'config/crd/standard');
  const keda = join(await tools.crdModule('keda'), 'config/crd/bases');
  const prometheus = join(await tools.crdModule('prometheus'), 'example/prometheus-operator-crd');
  for (const folder of [gateway, keda, prometheus]) custom(folder, out);
  writeFileSync(stamp, wanted);
  return out;
}

/** @param {string} folder of the schemas */
export const locations = (folder) => [
  '-schema-location',
  `${folder}/{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json`,
  '-schema-location',
  `${folder}/crd/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json`,
];

/** @param {string} file @param {string} version @param {string} out */
function builtIn(file, version, out) {
  const { definitions } = JSON.parse(readFileSync(file, 'utf8'));
  for (const [name, definition] of Object.entries(definitions)) {
    const kinds = definition['x-kubernetes-group-version-kind'] ?? [];
    // The delete options belong to every group.
    if (kinds.length !== 1) continue;
    const { group, version: apiVersion, kind } = kinds[0];
    const schema = expand(definition, definitions, new Set([name]));
    schema.properties.apiVersion = { type: 'string', enum: [group ? `${group}/${apiVersion}` : apiVersion] };
    schema.properties.kind = { type: 'string', enum: [kind] };
    const parts = [kind.toLowerCase(), ...(group ? [group.split('.')[0]] : []), apiVersion];
    write(join(out, `v${version}`, `${parts.join('-')}.json`), schema);
  }
}

/** @param {string} folder @param {string} out */
function custom(folder, out) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml')))
    for (const document of parseAllDocuments(readFileSync(join(folder, file), 'utf8'))) {
      const crd = document.toJS();
      if (crd?.kind !== 'CustomResourceDefinition') continue;
      for (const { name, schema } of crd.spec.versions) {
        const expanded = expand(schema.openAPIV3Schema, {}, new Set());
        Object.assign((expanded.properties ??= {}), {
          apiVersion: { type: 'string' },
          kind: { type: 'string' },
          metadata: { type: 'object' },
        });
        write(join(out, 'crd', crd.spec.group, `${crd.spec.names.kind.toLowerCase()}_${name}.json`), expanded);
      }
    }
}

/**
 * Inlines every reference, and forbids further properties in objects that list theirs.
 * @param {Schema} node
 * @param {Record<string, Schema>} definitions
 * @param {ReadonlySet<string>} seen
 * @returns {Schema}
 */
function expand(node, definitions, seen) {
  if (Array.isArray(node)) return node.map((item) => expand(item, definitions, seen));
  if (typeof node !== 'object' || node === null) return node;
  if ('$ref' in node) {
    const name = node.$ref.split('/').at(-1);
    if (name.endsWith('intstr.IntOrString')) return { ...INT_OR_STRING };
    if (name.endsWith('resource.Quantity')) return { ...QUANTITY };
    return seen.has(name) ? {} : expand(definitions[name], definitions, new Set([...seen, name]));
  }
  if (node.format === 'int-or-string' || node['x-kubernetes-int-or-string']) return { ...INT_OR_STRING };
  /** @type {Schema} */
  const out = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === 'properties')
      out.properties = Object.fromEntries(
        Object.entries(value).map(([name, property]) => {
          const schema = expand(property, definitions, seen);
          return [name, (node.required ?? []).includes(name) ? schema : nullable(schema)];
        }),
      );
    else if (key !== 'description' && key !== 'format' && !key.startsWith('x-kubernetes'))
      out[key] = expand(value, definitions, seen);
  }
  if (out.properties && !('additionalProperties' in out) && !node['x-kubernetes-preserve-unknown-fields'])
    out.additionalProperties = false;
  return out;
}

/** @param {Schema} schema */
function nullable(schema) {
  return typeof schema.type === 'string' && !('enum' in schema) ? { ...schema, type: [schema.type, 'null'] } : schema;
}

/** @param {string} path @param {Schema} schema */
function write(path, schema) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(schema));
}
