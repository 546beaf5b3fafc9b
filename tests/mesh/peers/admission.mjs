// What a ValidatingAdmissionPolicy says of resources:
//   node admission.mjs FILE      FILE holds {"policies": [RESOURCE, …], "resources": [RESOURCE, …]}
// Their expressions are evaluated by an implementation of CEL (npm @bufbuild/cel) as the API server does: conditions, then variables in
// their order, then validations. Prints one JSON line, a list with the messages that each resource is refused with.
//
// As in the API server, an expression that cannot be evaluated refuses the resource (failurePolicy: Fail): its error is the message.
import { readFileSync } from 'node:fs';
import { celEnv, isCelError, parse, plan } from '@bufbuild/cel';

const environment = celEnv();

// The values that the API server hands to CEL: whole numbers are int there.
function values(json) {
  if (Array.isArray(json)) return json.map(values);
  if (json !== null && typeof json === 'object') return new Map(Object.entries(json).map(([name, value]) => [name, values(value)]));
  return Number.isInteger(json) ? BigInt(json) : json;
}

function evaluate(expression, bindings) {
  const value = plan(environment, parse(expression))(bindings);
  if (isCelError(value)) throw value;
  return value;
}

function matches({ apiGroups, resources }, resource) {
  const group = resource.apiVersion.split('/')[0];
  return apiGroups.includes(group) && resources.includes(`${resource.kind.toLowerCase()}s`);
}

function denied(policy, resource) {
  if (!policy.spec.matchConstraints.resourceRules.some((rule) => matches(rule, resource))) return [];
  const object = values(resource);
  try {
    for (const { expression } of policy.spec.matchConditions ?? []) {
      if (evaluate(expression, { object }) !== true) return [];
    }
    const variables = new Map();
    for (const { name, expression } of policy.spec.variables ?? []) {
      variables.set(name, evaluate(expression, { object, variables }));
    }
    const fails = ({ expression }) => evaluate(expression, { object, variables }) !== true;
    return policy.spec.validations.filter(fails).map(({ message }) => message);
  } catch (error) {
    return [`cannot be evaluated: ${error.message}`];
  }
}

const { policies, resources } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const judges = policies.filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
console.log(JSON.stringify(resources.map((resource) => judges.flatMap((policy) => denied(policy, resource)))));
