// Checks Istio resources against Istio's own schemas (npm @kubernetes-models/istio), and admission policies for them against those of
// Kubernetes (npm kubernetes-models):
//   node validate_istio.mjs FILE      FILE holds a JSON list of resources
// Prints one JSON line, a list with the faults of each resource, and exits 1 if there is any.
//
// Kubernetes drops a field that a schema does not know, and so do these schemas. A misspelt field is a fault here: the
// resource is handed over so that each field that the schema looks at is noted, and the others are told.
import { readFileSync } from 'node:fs';
import * as extensions from '@kubernetes-models/istio/extensions.istio.io/v1alpha1';
import * as networkingV1 from '@kubernetes-models/istio/networking.istio.io/v1';
import * as networkingV1alpha3 from '@kubernetes-models/istio/networking.istio.io/v1alpha3';
import * as admission from 'kubernetes-models/admissionregistration.k8s.io/v1';

const models = [admission, extensions, networkingV1, networkingV1alpha3].flatMap((module) => Object.values(module));

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

function faults(resource) {
  const Model = models.find((one) => one.kind === resource?.kind && one.apiVersion === resource.apiVersion);
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
