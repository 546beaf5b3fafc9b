// Checks Kubernetes resources against the schemas of whoever owns them:
//   node validate_resources.mjs FILE      FILE holds a JSON list of resources
// Prints one JSON line, a list with the faults of each resource, and exits 1 if there is any.
//
// Istio's kinds come from Istio's own schemas (npm @kubernetes-models/istio), the Prometheus operator's from its own (npm
// @kubernetes-models/prometheus-operator), admission policies from Kubernetes' (npm kubernetes-models). Kinds that no package has are in schemas/, written
// down from the API references that are named there.
//
// Kubernetes drops a field that a schema does not know, and so do the schemas of the package. A misspelt field is a fault here: the
// resource is handed over so that each field that the schema looks at is noted, and the others are told.
import { readFileSync, readdirSync } from 'node:fs';
import Ajv from 'ajv';
import * as extensions from '@kubernetes-models/istio/extensions.istio.io/v1alpha1';
import * as networkingV1 from '@kubernetes-models/istio/networking.istio.io/v1';
import * as networkingV1alpha3 from '@kubernetes-models/istio/networking.istio.io/v1alpha3';
import * as security from '@kubernetes-models/istio/security.istio.io/v1';
import * as operator from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import * as admission from 'kubernetes-models/admissionregistration.k8s.io/v1';

const models = [admission, extensions, networkingV1, networkingV1alpha3, security, operator].flatMap((module) => Object.values(module));

const folder = new URL('schemas/', import.meta.url);
const files = readdirSync(folder).map((name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')));
const written = new Map(files.flatMap(({ definitions, kinds }) => Object.entries(kinds).map(([kind, schema]) => [kind, { ...schema, definitions }])));
const ajv = new Ajv({ allErrors: true, strictSchema: true, strictTypes: false });
ajv.addKeyword('x-from');

// What these hold is for the plugin or for Envoy: Istio's schemas leave it open.
const OPEN = ['/spec/pluginConfig', '/spec/configPatches/*/patch/value'];

// A view of `value` that notes the path of each member that is read.
function watched(value, path, read) {
  if (value === null || typeof value !== 'object') return value;
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === 'symbol' || !Object.hasOwn(target, key) || key === 'length') return Reflect.get(target, key);
      const below = `${path}/${key}`;
      read.add(below);
      return watched(target[key], below, read);
    },
  });
}

function paths(value, path = '') {
  if (value === null || typeof value !== 'object' || OPEN.includes(path.replace(/\/\d+(?=\/|$)/g, '/*'))) return [];
  return Object.entries(value).flatMap(([key, below]) => [`${path}/${key}`, ...paths(below, `${path}/${key}`)]);
}

// By a schema of schemas/, which names every field.
function ownFaults(resource) {
  const validate = ajv.compile(written.get(`${resource.apiVersion} ${resource.kind}`));
  if (validate(resource)) return [];
  return validate.errors.map((one) => `${one.instancePath}${one.params.additionalProperty ? `/${one.params.additionalProperty}` : ''} ${one.message}`);
}

function faults(resource) {
  const Model = models.find((one) => one.kind === resource?.kind && one.apiVersion === resource.apiVersion);
  if (!Model && written.has(`${resource?.apiVersion} ${resource?.kind}`)) return ownFaults(resource);
  if (!Model) return [`no schema for ${resource?.apiVersion} ${resource?.kind}`];
  const read = new Set();
  try {
    Model.prototype.validate.call(watched(resource, '', read));
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    return error.errors.map((one) => `${one.instancePath} ${one.message}`);
  }
  return paths(resource).filter((path) => !read.has(path)).map((path) => `${path} is not a field that its schema knows`);
}

const found = JSON.parse(readFileSync(process.argv[2], 'utf8')).map(faults);
console.log(JSON.stringify(found));
process.exitCode = found.some((list) => list.length > 0) ? 1 : 0;
